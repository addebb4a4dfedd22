"""Trains a denoising autoencoder: `python -m train.autoencoder --dataset=mnist --name=I`."""

from typing import Any

from absl import flags

import magnet_cli
from train import options


def define(values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    options.define(values, ("published", "short"))
    options.define_autoencoder(values)
    flags.DEFINE_enum(
        "loss", "mse", ["mae", "mse"], "What is minimised.", flag_values=values
    )


def do(args: Any) -> None:
    """Trains what the flags name."""
    from train import autoencoders, recipes

    dataset = options.loaded(args)
    name, spec = options.chosen(args, dataset)
    recipe = recipes.for_autoencoder(args.recipe, dataset, spec.structure)
    path = options.output(args, dataset, f"autoencoder_{name}")
    trained = autoencoders.train_autoencoder(
        dataset, spec, options.with_epochs(args, recipe), path, args.seed, args.loss
    )
    options.say(path, trained)


COMMAND = magnet_cli.Command(
    "train.autoencoder", "Trains a denoising autoencoder.", define, do
)

if __name__ == "__main__":
    magnet_cli.main(COMMAND)
