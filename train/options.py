"""The flags that the training commands share, and what they ask for."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

if TYPE_CHECKING:
    from magnet_tf import cards, datasets, variants
    from train import recipes

SEEDS = 2**31  # what NumPy, Keras and TensorFlow all take


def define(values: flags.FlagValues, kinds: tuple[str, ...]) -> None:
    """Defines the flags of every training.

    Args:
        values: what they are defined in. kinds: of recipes, the default first.
    """
    flags.DEFINE_string(
        "dataset",
        "digits",
        "digits, the name of a TFDS dataset, an .npz file or a folder of images.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "recipe",
        kinds[0],
        kinds,
        "How it is trained, see train/recipes.py.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "epochs",
        None,
        "Passes over the data [as the recipe].",
        lower_bound=1,
        flag_values=values,
    )
    flags.DEFINE_string(
        "output",
        None,
        "Model file, <name>.keras [in models/<dataset>].",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "seed",
        0,
        "Of everything random.",
        lower_bound=0,
        upper_bound=SEEDS,
        flag_values=values,
    )


def define_autoencoder(values: flags.FlagValues) -> None:
    """Defines the flags that name an autoencoder."""
    flags.DEFINE_string(
        "name",
        None,
        "An autoencoder of the dataset's variants: I, II, I-256, II-256 [I].",
        flag_values=values,
    )
    flags.DEFINE_list(
        "structure",
        None,
        "Or any structure, such as 3,average,3.",
        flag_values=values,
    )
    flags.DEFINE_float(
        "noise",
        None,
        "With --structure: the noise's standard deviation [0.1].",
        lower_bound=0,
        flag_values=values,
    )


def chosen(
    args: Any, dataset: "datasets.Dataset"
) -> "tuple[str, variants.Autoencoder]":
    """The autoencoder that the flags ask for, by name or by structure, and its name.

    Raises:
        TrainingError: the flags contradict each other, or there is none of the name.
    """
    from magnet_tf import variants
    from train.errors import TrainingError

    if args.structure is not None:
        if args.name is not None:
            raise TrainingError("--name and --structure: give one of them.")
        structure = tuple(int(e) if e.isdecimal() else e for e in args.structure)
        noise = 0.1 if args.noise is None else args.noise
        return "_".join(args.structure), variants.Autoencoder(structure, noise)
    if args.noise is not None:
        raise TrainingError(
            "--noise is of a --structure; the autoencoders with a name have their own."
        )
    known = variants.autoencoders(dataset.like)
    name = "I" if args.name is None else args.name
    if name not in known:
        raise TrainingError(
            f"{dataset.name} has no autoencoder {name!r}; expected one of {sorted(known)}."
        )
    return name, known[name]


def loaded(args: Any) -> "datasets.Dataset":
    """The dataset that the flags name; says whose recipes it is trained by.

    Raises:
        DatasetError: as `datasets.load`.
    """
    from magnet_tf import datasets

    dataset = datasets.load(args.dataset)
    if dataset.borrows:
        print(dataset.borrows)
    return dataset


def with_epochs(args: Any, recipe: "recipes.Recipe") -> "recipes.Recipe":
    """A recipe with as many epochs as the flags ask for."""
    return dataclasses.replace(recipe, epochs=args.epochs or recipe.epochs)


def output(args: Any, dataset: "datasets.Dataset", stem: str) -> Path:
    """Where a finished model goes."""
    return Path(args.output or Path("models", dataset.name, f"{stem}.keras"))


def say(path: Path, trained: "cards.Trained") -> None:
    """What is said of a finished model."""
    card = path.with_suffix(".json")
    print(f"{path} is finished: {trained.quality}; its card is {card}.")
