"""Trains a pack of diverse autoencoders: `python -m train.pack --dataset=mnist`."""

import dataclasses
from typing import Any

from absl import flags

import magnet_cli
from train import options


def define(values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    options.define(values, ("original", "fork"))
    options.define_autoencoder(values)
    flags.DEFINE_integer(
        "count", 8, "How many autoencoders.", lower_bound=1, flag_values=values
    )
    flags.DEFINE_float(
        "alpha", 0.2, "Weight of the diversity.", lower_bound=0, flag_values=values
    )


def do(args: Any) -> None:
    """Trains what the flags name."""
    from train import packs, recipes

    dataset = options.loaded(args)
    name, spec = options.chosen(args, dataset)
    recipe = recipes.for_pack(args.recipe, dataset)
    recipe = dataclasses.replace(
        recipe, together=options.with_epochs(args, recipe.together)
    )
    path = options.output(args, dataset, f"pack_{name}")
    trained = packs.train_pack(
        dataset, spec, recipe, path, args.seed, args.count, args.alpha
    )
    options.say(path, trained)


COMMAND = magnet_cli.Command(
    "train.pack",
    "Trains autoencoders a little each, and then together, to differ.",
    define,
    do,
)

if __name__ == "__main__":
    magnet_cli.main(COMMAND)
