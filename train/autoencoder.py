"""Trains a denoising autoencoder: `python -m train.autoencoder --dataset=mnist --name=I`."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
from absl import app, flags, logging

from magnet_tf import autoencoders, datasets, variants
from magnet_tf.arrays import in_batches
from train import loop, recipes

LOSSES = {"mse": "mean_squared_error", "mae": "mean_absolute_error"}


def train_autoencoder(
    name: str,
    dataset: datasets.Dataset,
    spec: variants.Autoencoder,
    recipe: recipes.Recipe,
    path: Path,
    seed: int,
    loss: str = "mse",
) -> keras.Model:
    """Trains an autoencoder from noisy images toward the clean ones.

    `DenoisingAutoEncoder.train` in the original: Gaussian noise drawn once and clipped to
    [0, 1], Adam's defaults.

    Args:
        name: the dataset's name, for the card.
        dataset: its images; the labels are not used.
        spec: the autoencoder's structure and the noise's standard deviation.
        recipe: epochs and batch size.
        path: of the finished `.keras` file; resumed where an earlier call stopped.
        seed: of everything random.
        loss: "mse" or "mae".
    """
    clean = dataset.train.images

    def build() -> keras.Model:
        model = autoencoders.denoising_autoencoder(spec.structure, clean.shape[1:])
        model.compile("adam", LOSSES[loss], jit_compile=loop.compiled_by_xla())
        return model

    def evaluate(model: keras.Model) -> dict:
        noisy = add_noise(dataset.validation.images, spec.noise, seed + 1)
        healed = in_batches(model, noisy)
        error = np.abs(healed - dataset.validation.images)
        return {
            "validation_mse": float(np.mean(error**2)),
            "validation_mae": float(error.mean()),
        }

    settings = {"dataset": name, **dataclasses.asdict(spec), "loss": loss}
    noisy = add_noise(clean, spec.noise, seed)
    return loop.train(build, noisy, clean, recipe, path, settings, evaluate, seed)


def add_noise(images: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    """Images with Gaussian noise, clipped to [0, 1]."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(images.shape, dtype=np.float32)
    return np.clip(images + np.float32(sigma) * noise, 0, 1)


def named_autoencoders(name: str, channels: int) -> dict[str, variants.Autoencoder]:
    """Every autoencoder that a dataset's variants ask for, by name."""
    return {
        key: spec
        for variant in variants.for_dataset(name, channels).values()
        for key, spec in variant.autoencoders.items()
    }


def main(_) -> None:
    args = flags.FLAGS
    logging.set_verbosity(logging.ERROR)
    try:
        dataset = datasets.load(args.dataset)
        path, spec = chosen(args, dataset.train.images.shape[-1])
        recipe = recipes.for_dataset(
            recipes.AUTOENCODER, args.dataset, dataset.train.images.shape[-1]
        )
        recipe = dataclasses.replace(recipe, epochs=args.epochs or recipe.epochs)
        if loop.trained(path):
            print(f"{path} is finished.")
            return
        train_autoencoder(
            args.dataset, dataset, spec, recipe, path, args.seed, args.loss
        )
    except (datasets.DatasetError, ValueError) as error:
        raise SystemExit(f"train.autoencoder: {error}") from error
    print(f"{path} is finished; its card is {path.with_suffix('.json')}.")


def chosen(args, channels: int) -> tuple[Path, variants.Autoencoder]:
    """Where the autoencoder goes and what it is, by name or by structure."""
    if args.structure:
        structure = tuple(int(e) if e.isdigit() else e for e in args.structure)
        spec, name = (
            variants.Autoencoder(structure, args.noise),
            "_".join(args.structure),
        )
    else:
        known, name = named_autoencoders(args.dataset, channels), args.name
        if name not in known:
            raise ValueError(
                f"there is no autoencoder {name!r}; expected one of {sorted(known)}."
            )
        spec = known[name]
    return Path(args.output or f"models/{args.dataset}/autoencoder_{name}.keras"), spec


if __name__ == "__main__":
    flags.DEFINE_string("dataset", "digits", "'digits' or the name of a TFDS dataset.")
    flags.DEFINE_string(
        "name", "I", "An autoencoder of the dataset's variants: I, II, I-256, II-256."
    )
    flags.DEFINE_list("structure", None, "Or any structure, such as 3,average,3.")
    flags.DEFINE_float(
        "noise", 0.1, "With --structure: the noise's standard deviation.", lower_bound=0
    )
    flags.DEFINE_enum("loss", "mse", sorted(LOSSES), "What is minimised.")
    flags.DEFINE_string(
        "output", None, "Model file [models/<dataset>/autoencoder_<name>.keras]."
    )
    flags.DEFINE_integer(
        "epochs", None, "Passes over the data [as published].", lower_bound=1
    )
    flags.DEFINE_integer("seed", 0, "Of everything random.", lower_bound=0)
    app.run(main)
