"""Fills the zoo from finished models: `python -m train.zoo --dataset=mnist`.

Copies the models of `models/<dataset>` into the package, without their optimizers, packs and
those of its folder `attacker` among them, and calibrates every variant whose autoencoders are there; each file gets a card.
"""

from pathlib import Path
from typing import Any

from absl import flags

import magnet_cli


def define(values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    flags.DEFINE_string(
        "dataset", "digits", "One with variants of its own.", flag_values=values
    )
    flags.DEFINE_string(
        "models_dir", None, "Trained models [models/<dataset>].", flag_values=values
    )


def do(args: Any) -> None:
    """Fills the zoo's folder of a dataset."""
    from magnet_tf import zoo
    from train import filling

    source = Path(args.models_dir or f"models/{args.dataset}")
    done = filling.fill(args.dataset, source, zoo.ROOT / args.dataset)
    print(f"{zoo.ROOT / args.dataset}: {', '.join(done) or 'no variant'}")


COMMAND = magnet_cli.Command(
    "train.zoo", "Fills the zoo from finished models.", define, do
)

if __name__ == "__main__":
    magnet_cli.main(COMMAND)
