"""How fast the attacks are: `python -m eval.benchmark`, with the extra `bench` installed.

What is measured is kept in `benchmark.json`; the same command measures only what is missing.
"""

import multiprocessing
import platform
from pathlib import Path
from typing import Any

from absl import flags

import magnet_cli


def define(values: flags.FlagValues) -> None:
    """The command's flags."""
    flags.DEFINE_string(
        "dataset",
        "mnist",
        "A dataset with a classifier in the zoo.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "num_examples",
        50,
        "Images of a whole attack.",
        lower_bound=1,
        flag_values=values,
    )
    flags.DEFINE_list(
        "confidences", "0,20", "Kappas of the whole attacks.", flag_values=values
    )
    flags.DEFINE_float(
        "beta",
        1e-2,
        "EAD's weight of the L1 norm.",
        lower_bound=0,
        upper_bound=1e6,
        flag_values=values,
    )
    flags.DEFINE_integer(
        "max_iterations", 1000, "Of a search step.", lower_bound=1, flag_values=values
    )
    flags.DEFINE_integer(
        "repeats", 5, "Of each timing.", lower_bound=1, flag_values=values
    )
    flags.DEFINE_string("output_dir", "runs/benchmark", "Results.", flag_values=values)


def do(args: Any) -> None:
    """Measures what is missing, and writes the table and the figure."""
    from eval import benchmark_report, measurements
    from eval.arguments import check_backend, numbers
    from magnet_cli.progress import progress
    from magnet_tf import files

    check_backend()
    check_libraries()
    names = ("dataset", "num_examples", "beta", "max_iterations", "repeats")
    settings = {name: getattr(args, name) for name in names}
    kappas = numbers("confidences", args.confidences)
    numbers("beta", [str(args.beta)])  # absl takes NaN
    directory = Path(args.output_dir)
    results = stored_results(directory / "benchmark.json", settings)
    bench = measurements.Bench(measurements.Size(confidences=kappas, **settings))
    directory.mkdir(parents=True, exist_ok=True)
    jobs = measurements.measurements(bench)
    for name, measure in (bar := progress(jobs.items())):
        bar.set_description(name)
        if name not in results:
            results[name] = measure()
            keep(directory / "benchmark.json", settings, results)
    text = benchmark_report.table(results)
    files.write_text(directory / "benchmark.md", text + "\n")
    files.write(directory / "benchmark.png", benchmark_report.figure(results).savefig)
    print(text)
    print(f"\n{directory} has benchmark.json, benchmark.md and benchmark.png.")


def check_libraries() -> None:
    """Raises FlagError where Foolbox or ART is not installed."""
    from eval.arguments import FlagError

    for module, package in (
        ("foolbox", "foolbox"),
        ("art", "adversarial-robustness-toolbox"),
    ):
        try:
            __import__(module)
        except ModuleNotFoundError as error:
            raise FlagError(
                f"{package} is not installed ({error}); install the extra: "
                "pip install '.[bench]'."
            ) from error


def keep(path: Path, settings: dict, results: dict) -> None:
    """Writes what was measured so far, and on what machine."""
    from magnet_tf import __version__, cards

    machine = f"{platform.machine()}, {multiprocessing.cpu_count()} cores"
    about = {"version": __version__, "settings": settings, "machine": machine}
    cards.write(path, {**about, "results": results})


def stored_results(path: Path, settings: dict) -> dict:
    """What an earlier benchmark of the same settings measured; nothing where there is none.

    One of another version, whose attacks or models may be others, is set aside.

    Raises:
        FlagError: there is one of other settings, or another file.
    """
    from eval.arguments import FlagError
    from eval.store import OUTDATED
    from magnet_tf import __version__, cards, files

    if not path.exists():
        return {}
    try:
        stored = cards.read(path)
    except cards.DamagedError as error:
        files.set_aside(path, f"cannot be used ({error}) and is made again")
        return {}
    except cards.CardError as error:
        raise FlagError(
            f"{path} is no benchmark's, or one of an earlier version; choose another output "
            "directory, or move it away."
        ) from error
    if stored.get("settings") != settings:
        raise FlagError(
            f"{path} was measured with other settings; choose another output directory."
        )
    if stored.get("version") != __version__:
        files.set_aside(path, "is of another version and is made again", OUTDATED)
        return {}
    return stored["results"]


COMMAND = magnet_cli.Command(
    name="eval.benchmark",
    summary="Measures how fast and how good the attacks are beside Foolbox's and ART's.",
    define=define,
    do=do,
    doing=lambda args: f"{args.dataset}: benchmark; loading TensorFlow ...",
)

if __name__ == "__main__":
    magnet_cli.main(COMMAND)
