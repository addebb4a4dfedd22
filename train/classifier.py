"""Trains the undefended classifier: `python -m train.classifier --dataset=mnist`."""

from pathlib import Path
from typing import Any

from absl import flags

import magnet_cli
from train import options


def define(values: flags.FlagValues) -> None:
    """Defines the command's flags."""
    options.define(values, ("published", "short"))
    flags.DEFINE_string(
        "start", None, "A finished classifier to go on from.", flag_values=values
    )


def do(args: Any) -> None:
    """Trains what the flags name."""
    from train import classifiers, recipes

    dataset = options.loaded(args)
    recipe = recipes.for_classifier(args.recipe, dataset)
    path = options.output(args, dataset, "classifier")
    trained = classifiers.train_classifier(
        dataset,
        options.with_epochs(args, recipe),
        path,
        args.seed,
        Path(args.start) if args.start else None,
    )
    options.say(path, trained)


COMMAND = magnet_cli.Command(
    "train.classifier",
    "Trains the undefended classifier of a dataset's kind of images.",
    define,
    do,
)

if __name__ == "__main__":
    magnet_cli.main(COMMAND)
