"""Trains a pack of diverse autoencoders: `python -m train.pack --dataset=mnist`."""

import dataclasses
from pathlib import Path

import keras
from absl import app, flags

from magnet_tf import autoencoders, datasets, variants
from train import autoencoder, loop, recipes

EPOCHS_ALONE = 3  # of each autoencoder before they are trained together


def train_pack(
    dataset: datasets.Dataset,
    spec: variants.Autoencoder,
    recipe: recipes.Recipe,
    path: Path,
    seed: int,
    count: int = 8,
    alpha: float = 0.2,
) -> keras.Model:
    """Trains autoencoders a little each, and then together, to reconstruct and to differ.

    `PackedAutoEncoder.train` in the original.

    Args:
        dataset, spec, recipe, path: as in `train_autoencoder`.
        seed: of everything random; each autoencoder starts from one of its own.
        count: how many autoencoders.
        alpha: weight of the diversity.

    Returns:
        The `PackedAutoencoder`, saved at `path`.
    """
    clean = dataset.train.images
    alone = dataclasses.replace(recipe, epochs=EPOCHS_ALONE)
    started = []
    for index in range(count):
        file = path.with_name(f"{path.stem}_{index}.keras")
        started.append(
            autoencoder.train_autoencoder(dataset, spec, alone, file, seed + 1 + index)
        )

    def build() -> keras.Model:
        pack = autoencoders.PackedAutoencoder(started, seed)
        pack(clean[:1])
        pack.compile(
            "adam", autoencoders.PackLoss(alpha), jit_compile=loop.compiled_by_xla()
        )
        return pack

    settings = {
        "dataset": dataset.name,
        **dataclasses.asdict(spec),
        "count": count,
        "alpha": alpha,
    }
    return loop.train(
        build,
        autoencoder.add_noise(clean, spec.noise, seed),
        clean,
        recipe,
        path,
        settings,
        lambda pack: autoencoder.reconstruction_error(
            pack, dataset.validation.images, spec.noise, seed + 1
        ),
        seed,
    )


def main(_) -> None:
    """The command: trains what the flags name."""
    args = flags.FLAGS
    autoencoder.run(
        args,
        "pack",
        lambda *job: train_pack(*job, args.count, args.alpha),
        "published",
    )


if __name__ == "__main__":
    autoencoder.define_flags()
    flags.DEFINE_integer("count", 8, "How many autoencoders.", lower_bound=1)
    flags.DEFINE_float("alpha", 0.2, "Weight of the diversity.", lower_bound=0)
    app.run(main)
