"""The adaptive evaluation: `python -m eval.adaptive`.

The sister of `eval.oblivious`: the same images are attacked by attackers who know nothing of
MagNet, how it is made, or all of it, as in Carlini & Wagner, "MagNet and 'Efficient Defenses
Against Adversarial Attacks' are Not Robust to Adversarial Examples" (arXiv 1711.08478).
"""

from typing import Any

from absl import flags

import magnet_cli
from eval import oblivious


def define(values: flags.FlagValues) -> None:
    """The command's flags."""
    oblivious.define_subject(values)
    define_pack(values)
    oblivious.define_chance(values)
    define_knowledge(values)
    oblivious.define_size(values, "glance")
    define_targeted(values)
    define_rates(values)
    oblivious.define_search(values)
    oblivious.define_engine(values)
    oblivious.define_run(values, "runs/<dataset>-<preset>-adaptive")


def define_pack(values: flags.FlagValues) -> None:
    """The flag that makes the defence one of several that the attacker cannot tell apart."""
    flags.DEFINE_integer(
        "pack",
        None,
        "What is evaluated: of a pack of so many autoencoders, trained to differ, the defence "
        "draws one by --seed.",
        lower_bound=1,
        flag_values=values,
    )


def define_knowledge(values: flags.FlagValues) -> None:
    """The flags that say what the attackers know."""
    flags.DEFINE_list(
        "knowledge",
        None,
        "What the attacker knows: oblivious (the undefended classifier alone), gray (how the "
        "defence is made, too; it trains its own), white (everything) [all that can be had].",
        flag_values=values,
    )
    flags.DEFINE_list(
        "gray_autoencoders",
        None,
        "What the attacker knows: how many autoencoders of its own the gray-box attacker "
        "trains of each of the defence's, such as 1,4,8 [as the preset].",
        flag_values=values,
    )


def define_targeted(values: flags.FlagValues) -> None:
    """The flags of targeted attacks."""
    flags.DEFINE_boolean(
        "targeted",
        False,
        "How large it is: some images are attacked toward every other class, too, at the "
        "least kappa.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "num_targeted",
        None,
        "How large it is: images that are attacked so [10].",
        lower_bound=1,
        flag_values=values,
    )


def define_rates(values: flags.FlagValues) -> None:
    """The flag of success at fixed false positive rates."""
    flags.DEFINE_list(
        "rates",
        None,
        "How large it is: shares of clean images rejected at which success is told, for each "
        "of which the white-box attacker crafts anew; or none [0.001,0.01,0.05].",
        flag_values=values,
    )


def do(args: Any) -> None:
    """The whole path from data to report, as the flags say."""
    from eval.knowledge import experiment

    experiment.run(args)


COMMAND = magnet_cli.Command(
    name="eval.adaptive",
    summary="Attacks MagNet by what the attacker knows of it, and reports what gets past. The "
    "same command goes on after an interruption, and does only what is missing.",
    define=define,
    do=do,
    doing=oblivious.doing,
)

if __name__ == "__main__":
    magnet_cli.main(COMMAND)
