"""The training of packs of diverse autoencoders."""

import dataclasses
import math
from pathlib import Path

import keras

from magnet_tf import cards, datasets, variants
from magnet_tf.autoencoders import PackedAutoencoder, PackLoss
from train import autoencoders, loop, precision, recipes
from train.errors import TrainingError


def train_pack(
    dataset: datasets.Dataset,
    spec: variants.Autoencoder,
    recipe: recipes.PackRecipe,
    path: Path,
    seed: int,
    count: int = 8,
    alpha: float = 0.2,
) -> cards.Trained:
    """Trains autoencoders a little each, and then together, to reconstruct and to differ.

    `PackedAutoEncoder` in the original, with Adam's defaults throughout.

    Args:
        dataset: its images; the labels are not used.
        spec: the autoencoders' structure and the noise's standard deviation.
        recipe: epochs and batch size, alone and together.
        path: of the finished `.keras` file, beside which each autoencoder's lies as it was
            alone; resumed where an earlier call stopped.
        seed: of everything random; each autoencoder starts from one of its own.
        count: how many autoencoders.
        alpha: weight of the diversity.

    Returns:
        A `PackedAutoencoder`.

    Raises:
        TrainingError: alpha or the noise is not a number of at least 0.
        StructureError: the structure is none, or does not fit the images.
        CardError, LockedError, WriteError: as `loop.train`.
    """
    if not 0 <= alpha < math.inf:
        raise TrainingError(
            f"alpha must be a number of at least 0, got {alpha}; such as 0.2."
        )
    started = _alone(dataset, spec, recipe.alone, path, seed, count)
    clean = dataset.training.images

    def build() -> keras.Model:
        pack = PackedAutoencoder(started, seed)
        pack(clean[:1])
        pack.compile("adam", PackLoss(alpha), jit_compile=precision.compiled_by_xla())
        return pack

    settings = {"dataset": dataset.identity} | dataclasses.asdict(spec)
    settings |= {"alone": vars(recipe.alone), "count": count, "alpha": alpha}
    return loop.train(
        build,
        autoencoders.add_noise(clean, spec.noise, seed),
        clean,
        recipe.together,
        path,
        settings,
        lambda pack: autoencoders.reconstruction_error(
            pack, dataset.validation.images, spec.noise, seed + 1
        ),
        seed,
    )


def _alone(
    dataset: datasets.Dataset,
    spec: variants.Autoencoder,
    recipe: recipes.Recipe,
    path: Path,
    seed: int,
    count: int,
) -> list[keras.Model]:
    """The autoencoders of a pack, each trained by itself."""
    files = [path.with_name(f"{path.stem}_{index}.keras") for index in range(count)]
    return [
        autoencoders.train_autoencoder(
            dataset, spec, recipe, file, seed + 1 + index
        ).model
        for index, file in enumerate(files)
    ]
