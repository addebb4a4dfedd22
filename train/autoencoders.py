"""The training of denoising autoencoders."""

import dataclasses
import math
from pathlib import Path

import keras
import numpy as np

from magnet_tf import autoencoders, cards, datasets, variants
from magnet_tf.arrays import predicted
from train import loop, optimizers, precision, recipes
from train.errors import TrainingError

LOSSES = {"mse": "mean_squared_error", "mae": "mean_absolute_error"}


def train_autoencoder(
    dataset: datasets.Dataset,
    spec: variants.Autoencoder,
    recipe: recipes.Recipe,
    path: Path,
    seed: int,
    loss: str = "mse",
) -> cards.Trained:
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

    Raises:
        TrainingError: the noise is not a number of at least 0.
        StructureError: the structure is none, or does not fit the images.
        CardError, LockedError, WriteError: as `loop.train`.
    """
    if not 0 <= spec.noise < math.inf:
        raise TrainingError(
            f"the noise's standard deviation must be a number of at least 0, got "
            f"{spec.noise}; such as 0.1."
        )
    clean = dataset.training.images

    def build() -> keras.Model:
        model = autoencoders.denoising_autoencoder(
            spec.structure,
            dataset.image_shape,
            recipe.activity_l2 / recipe.batch_size,
        )
        model.compile(
            optimizers.for_autoencoder(recipe, len(clean)),
            LOSSES[loss],
            jit_compile=precision.compiled_by_xla(),
        )
        return model

    build()  # what is no structure is refused before anything is written

    return loop.train(
        build,
        add_noise(clean, spec.noise, seed),
        clean,
        recipe,
        path,
        {"dataset": dataset.identity, **dataclasses.asdict(spec), "loss": loss},
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
