"""Judges adversarial examples on disk: `python -m eval.original --data_dir=DIR`.

Whoever still has the support files of `Trevillie/MagNet` gets its numbers from them: what
`test_defense.py` prints, and its figure 'defense_performance'. Other examples, and a defence
of one's own, are judged in the same way.
"""

from typing import Any

from absl import flags

import magnet_cli


def define(values: flags.FlagValues) -> None:
    """Defines the command's flags."""

    def text(name: str, meaning: str) -> None:
        flags.DEFINE_string(name, None, meaning, flag_values=values)

    def texts(name: str, meaning: str) -> None:
        flags.DEFINE_list(name, None, meaning, flag_values=values)

    text(
        "data_dir",
        "By what: the original's folder, with models/, defensive_models/, attack_data/.",
    )
    text("variant", "By what: built of its models, D, D+JSD, D+256 or D+256+JSD [D].")
    texts("drop_rates", "By what: a detector's, as in I=0.01,II=0.001 [as published].")
    text("defence", "By what: instead of them your own MagNet, a .keras file.")
    texts("modules", "By what: modules to import first, which register your classes.")
    texts(
        "examples",
        "What: files named NAME_<kappa>, .npz with images and labels, or images as .npy or "
        ".pkl [<data_dir>/attack_data/example_carlini_*.pkl].",
    )
    text(
        "labels",
        "What: true classes of examples that have none, .npy or .pkl [by example_idx.pkl].",
    )
    text("output_dir", "Results: where they go [runs/original-<variant>].")


def doing(args: Any) -> str:
    """What a run says first."""
    what = ", ".join(args.examples or [f"{args.data_dir}'s examples"])
    by = args.defence or f"MagNet {args.variant or 'D'} of {args.data_dir}"
    return f"{what}, judged by {by}; loading TensorFlow ..."


def do(args: Any) -> list[dict]:
    """Judges what the flags name; the rows of `results.json`."""
    from eval.judging import judge

    return judge(args)


COMMAND = magnet_cli.Command(
    "eval.original",
    "Has adversarial examples on disk judged: by the original's own files, as its demo does, "
    "or by a defence of your own.",
    define,
    do,
    doing,
)

if __name__ == "__main__":
    magnet_cli.main(COMMAND)
