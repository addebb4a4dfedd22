"""How near attacks come to the best known: `python -m eval.ranks`, with the extra `bench`.

Each measurement is kept in `ranks.json`; the same command, or one with more models or budgets,
measures only what is missing.
"""

from pathlib import Path
from typing import Any

from absl import flags

import magnet_cli

MODELS = "mnist,noisy,wide,cifar10"


def define(values: flags.FlagValues) -> None:
    """The command's flags."""
    flags.DEFINE_list(
        "models",
        MODELS,
        "The zoo's MNIST and CIFAR-10 classifiers, one that is trained on noisy images and "
        "one of a wider network.",
        flag_values=values,
    )
    flags.DEFINE_list(
        "budgets", "200,500,1000", "Gradients for an image.", flag_values=values
    )
    flags.DEFINE_integer(
        "num_examples",
        64,
        "Images of the zoo's MNIST; half of these for the models that are trained, a "
        "quarter of CIFAR-10's.",
        lower_bound=2,
        flag_values=values,
    )
    flags.DEFINE_string("output_dir", "runs/benchmark", "Results.", flag_values=values)


def do(args: Any) -> None:
    """Measures what is missing, and writes the table and the figure."""
    from eval import benchmark
    from eval.arguments import FlagError, check_backend
    from eval.ranking import measurements, models, report
    from magnet_cli.progress import progress
    from magnet_tf import files

    check_backend()
    benchmark.check_libraries()
    if unknown := sorted(set(args.models) - set(models.MODELS)):
        raise FlagError(
            f"--models: there is no model {unknown[0]!r}; expected {', '.join(models.MODELS)}."
        )
    budgets = _budgets(args.budgets)
    directory = Path(args.output_dir)
    settings = {"num_examples": args.num_examples}
    results = benchmark.stored_results(directory / "ranks.json", settings)
    directory.mkdir(parents=True, exist_ok=True)
    bench = measurements.Bench(directory / "models", args.num_examples)
    jobs = measurements.jobs(bench, budgets, list(dict.fromkeys(args.models)))
    for name, measure in (bar := progress(jobs.items())):
        bar.set_description(name)
        if name not in results:
            results[name] = measure()
            benchmark.keep(directory / "ranks.json", settings, results)
    text = report.table(results)
    files.write_text(directory / "ranks.md", text + "\n")
    files.write(directory / "ranks.png", report.figure(results).savefig)
    print(text)
    print(f"\n{directory} has ranks.json, ranks.md and ranks.png.")


def _budgets(texts: list[str]) -> list[int]:
    """Whole numbers of gradients, each once, that leave every search an iteration a step."""
    from eval.arguments import FlagError

    least = 20
    if not texts or not all(
        text.strip().isdecimal() and int(text) >= least for text in texts
    ):
        raise FlagError(
            f"--budgets: expected whole numbers of at least {least} gradients, got "
            f"{','.join(texts)!r}."
        )
    return sorted({int(text) for text in texts})


COMMAND = magnet_cli.Command(
    name="eval.ranks",
    summary="Ranks minimum-norm attacks, Foolbox's and ART's among them, by optimality.",
    define=define,
    do=do,
    doing=lambda args: "ranks of attacks; loading TensorFlow ...",
)

if __name__ == "__main__":
    magnet_cli.main(COMMAND)
