"""The oblivious evaluation: `python -m eval.oblivious`.

Attacks the undefended classifier, hands the adversarial examples to each MagNet variant and
reports how it did, as in Lu, Chen, Chen & Yu, "On the Limitation of MagNet Defense against
L1-based Adversarial Examples", DSN-W 2018 (arXiv 1805.00310).
"""

from typing import Any

from absl import flags

import magnet_cli
from eval.presets import PRESETS


def define(values: flags.FlagValues) -> None:
    """The command's flags."""
    define_subject(values)
    define_chance(values)
    define_size(values)
    define_search(values)
    define_engine(values)
    flags.DEFINE_boolean(
        "list_attacks",
        False,
        "How it is attacked: print the attacks that there are, and end.",
        flag_values=values,
    )
    define_run(values, "runs/<dataset>-<preset>")


def define_subject(values: flags.FlagValues) -> None:
    """The flags that say what is evaluated."""
    for name, default, text in (
        (
            "dataset",
            "mnist_sample",
            (
                "mnist_sample (1,000 images that come with the package, with the zoo's models), "
                "digits (comes with it, too, and is trained on), the name of a TFDS dataset such "
                "as mnist, or a path: of an .npz file or a folder of images."
            ),
        ),
        ("classifier", None, "your own classifier, a .keras file."),
        ("defence", None, "your own MagNet, a .keras file."),
        (
            "models_dir",
            None,
            (
                "the folder of trained models, or 'zoo', those of the package "
                "[<output_dir>/models, where what is missing is trained; mnist_sample: zoo]."
            ),
        ),
    ):
        text = f"What is evaluated: {text}"
        flags.DEFINE_string(name, default, text, flag_values=values)
    flags.DEFINE_list(
        "variants",
        None,
        "What is evaluated: MagNet variants, of D, D+JSD, D+256, D+256+JSD [D,D+JSD].",
        flag_values=values,
    )


def define_chance(values: flags.FlagValues) -> None:
    """The flag that says how often the defences are trained."""
    flags.DEFINE_integer(
        "defence_seeds",
        1,
        "What is evaluated: so many trainings of each variant's autoencoders are judged on "
        "the same examples, with seeds from --seed on, to see what chance does.",
        lower_bound=1,
        flag_values=values,
    )


def define_size(values: flags.FlagValues, preset: str = "quick") -> None:
    """The flags that say how large the evaluation is, by default as a preset."""
    flags.DEFINE_enum(
        "preset",
        preset,
        sorted(PRESETS),
        "How large it is: sets what the flags below leave out.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "num_examples",
        None,
        "How large it is: test images that are attacked [as the preset].",
        lower_bound=1,
        flag_values=values,
    )
    for name, default, text in (
        (
            "attacks",
            "cw,ead",
            (
                "attacks, of cw, ead, your own, and by name those of Foolbox and ART, such "
                "as 'foolbox:LinfFastGradientAttack(epsilon=[0.1,0.2])'."
            ),
        ),
        ("confidences", None, "values of kappa, such as 0,10,20 [as the preset]."),
        (
            "betas",
            None,
            "EAD's weights of the L1 norm, such as 0.01,0.1 [as the preset].",
        ),
    ):
        flags.DEFINE_list(name, default, f"How large it is: {text}", flag_values=values)


def define_search(values: flags.FlagValues) -> None:
    """The flags that say how the images are attacked."""
    flags.DEFINE_enum(
        "search",
        None,
        ["exact", "primal_dual"],
        "How it is attacked: over c as published, or for a fraction of the gradients "
        "[as the preset].",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "momentum",
        None,
        ["fista", "original", "none"],
        "How it is attacked: EAD's momentum under the exact search, as in the paper, as in "
        "its code, or none [fista].",
        flag_values=values,
    )
    flags.DEFINE_list(
        "modules",
        None,
        "How it is attacked: modules to import first, which register your classes and "
        "attacks.",
        flag_values=values,
    )


def define_engine(values: flags.FlagValues) -> None:
    """The flags that say where the work is done."""
    flags.DEFINE_enum(
        "engine",
        "local",
        ["local", "ray"],
        "Where it runs: in this process, or on Ray.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "ray_address",
        None,
        "Where it runs: the Ray cluster to join, 'auto' for one that was started on this "
        "machine [Ray is started here, for this run].",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "item_cpus",
        None,
        "Where it runs: processors that a piece of work takes of the cluster [1].",
        lower_bound=1,
        flag_values=values,
    )
    flags.DEFINE_float(
        "item_gpus",
        0.0,
        "Where it runs: GPUs that a piece of work takes, 0.5 for two at a time on one.",
        lower_bound=0.0,
        flag_values=values,
    )


def define_run(values: flags.FlagValues, directory: str) -> None:
    """The flags of a run, whose results go to a directory unless they say otherwise."""
    flags.DEFINE_integer(
        "seed", 0, "Of everything random.", lower_bound=0, flag_values=values
    )
    flags.DEFINE_string(
        "output_dir", None, f"Where the results go [{directory}].", flag_values=values
    )


def doing(args: Any) -> str:
    """What a run says first."""
    if getattr(args, "list_attacks", False):
        return "Attacks; loading TensorFlow ..."
    what = args.defence or ", ".join(args.variants or ["D", "D+JSD"])
    return (
        f"{args.dataset}: {what} with the {args.preset} preset; loading TensorFlow ..."
    )


def do(args: Any) -> None:
    """The whole path from data to report, as the flags say."""
    from eval import experiment, libraries

    if args.list_attacks:
        print(libraries.list_of_attacks())
        return
    experiment.run(args)


COMMAND = magnet_cli.Command(
    name="eval.oblivious",
    summary="Attacks an undefended classifier and reports what gets past MagNet. The same "
    "command goes on after an interruption, and does only what is missing.",
    define=define,
    do=do,
    doing=doing,
)

if __name__ == "__main__":
    magnet_cli.main(COMMAND)
