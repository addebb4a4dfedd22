"""Trains a denoising autoencoder: `python -m train.autoencoder --dataset=mnist --name=I`."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from absl import app, flags, logging

from magnet_tf import autoencoders, datasets, variants
from magnet_tf.arrays import predicted
from train import loop, recipes

LOSSES = {"mse": "mean_squared_error", "mae": "mean_absolute_error"}


def train_autoencoder(
    dataset: datasets.Dataset,
    spec: variants.Autoencoder,
    recipe: recipes.Recipe,
    path: Path,
    seed: int,
    loss: str = "mse",
) -> keras.Model:
    """Trains an autoencoder from noisy images toward the clean ones.

    `DenoisingAutoEncoder.train` in the original: Gaussian noise drawn once and clipped to
    [0, 1], Adam's defaults; a short recipe has a rate of its own that falls.

    Args:
        dataset: its images; the labels are not used.
        spec: the autoencoder's structure and the noise's standard deviation.
        recipe: epochs and batch size.
        path: of the finished `.keras` file; resumed where an earlier call stopped.
        seed: of everything random.
        loss: "mse" or "mae".
    """
    clean = dataset.train.images

    def build() -> keras.Model:
        model = autoencoders.denoising_autoencoder(
            spec.structure,
            dataset.image_shape,
            recipe.activity_l2 / recipe.batch_size,
        )
        optimizer = (
            loop.annealed_adam(recipe, len(clean)) if recipe.peak_rate else "adam"
        )
        model.compile(optimizer, LOSSES[loss], jit_compile=loop.compiled_by_xla())
        return model

    return loop.train(
        build,
        add_noise(clean, spec.noise, seed),
        clean,
        recipe,
        path,
        {"dataset": dataset.name, **dataclasses.asdict(spec), "loss": loss},
        lambda model: reconstruction_error(
            model, dataset.validation.images, spec.noise, seed + 1
        ),
        seed,
    )


def reconstruction_error(
    model: keras.Model, images: np.ndarray, sigma: float, seed: int
) -> dict[str, float]:
    """What a card says of an autoencoder: its errors on noisy validation images."""
    error = np.abs(predicted(model, add_noise(images, sigma, seed)) - images)
    return {
        "validation_mse": float(np.mean(error**2)),
        "validation_mae": float(np.mean(error)),
    }


def add_noise(images: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    """Images with Gaussian noise, clipped to [0, 1]."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(images.shape, dtype=np.float32)
    return np.clip(images + np.float32(sigma) * noise, 0, 1)


def named_autoencoders(like: str) -> dict[str, variants.Autoencoder]:
    """Every autoencoder that the variants of a published dataset ask for, by name."""
    return {
        key: spec
        for variant in variants.VARIANTS[like].values()
        for key, spec in variant.autoencoders.items()
    }


def main(_) -> None:
    """The command: trains what the flags name."""
    run(
        flags.FLAGS,
        "autoencoder",
        lambda *job: train_autoencoder(*job, flags.FLAGS.loss),
        flags.FLAGS.recipe,
    )


def run(args, stem: str, train: Callable, kind: str) -> None:
    """What the training commands of autoencoders share: from flags to a finished file.

    Args:
        args: the flags of `define_flags`. stem: begins the file's name.
        train: takes dataset, autoencoder, recipe, path and seed.
        kind: of recipe, "published" or "short".
    """
    logging.set_verbosity(logging.ERROR)
    try:
        dataset = datasets.load(args.dataset)
        name, spec = chosen(args, dataset)
        path = Path(args.output or f"models/{args.dataset}/{stem}_{name}.keras")
        recipe = recipes.for_autoencoder(kind, dataset, spec.structure)
        recipe = dataclasses.replace(recipe, epochs=args.epochs or recipe.epochs)
        train(dataset, spec, recipe, path, args.seed)
    except (datasets.DatasetError, ValueError, OSError) as error:
        raise SystemExit(f"train.{stem}: {error}") from error
    except KeyboardInterrupt:
        raise SystemExit(
            f"train.{stem}: interrupted; the same command goes on."
        ) from None
    print(f"{path} is finished; its card is {path.with_suffix('.json')}.")


def chosen(args, dataset: datasets.Dataset) -> tuple[str, variants.Autoencoder]:
    """The autoencoder that the flags ask for, by name or by structure."""
    if args.structure:
        structure = tuple(int(e) if e.isdigit() else e for e in args.structure)
        return "_".join(args.structure), variants.Autoencoder(structure, args.noise)
    known = named_autoencoders(dataset.like)
    if args.name not in known:
        raise ValueError(
            f"there is no autoencoder {args.name!r}; expected one of {sorted(known)}."
        )
    return args.name, known[args.name]


def define_flags() -> None:
    """The flags that `train.autoencoder` and `train.pack` share."""
    flags.DEFINE_string("dataset", "digits", "'digits' or the name of a TFDS dataset.")
    flags.DEFINE_string(
        "name", "I", "An autoencoder of the dataset's variants: I, II, I-256, II-256."
    )
    flags.DEFINE_list("structure", None, "Or any structure, such as 3,average,3.")
    flags.DEFINE_float(
        "noise", 0.1, "With --structure: the noise's standard deviation.", lower_bound=0
    )
    flags.DEFINE_string(
        "output", None, "Model file [models/<dataset>/<command>_<name>.keras]."
    )
    flags.DEFINE_integer(
        "epochs", None, "Passes over the data [as the recipe].", lower_bound=1
    )
    flags.DEFINE_integer("seed", 0, "Of everything random.", lower_bound=0)


if __name__ == "__main__":
    define_flags()
    loop.define_recipe_flag()
    flags.DEFINE_enum("loss", "mse", sorted(LOSSES), "What is minimised.")
    app.run(main)
