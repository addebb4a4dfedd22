"""Training a pack: each a little alone, then all together."""

import numpy as np

from magnet_tf import datasets, variants
from magnet_tf.arrays import in_batches
from train import loop, pack, recipes

IMAGES = np.random.default_rng(0).random((40, 8, 8, 1), dtype=np.float32)
SPLIT = datasets.Split(IMAGES, np.zeros(40, np.int64))
DATASET = datasets.Dataset("made up", SPLIT, SPLIT, SPLIT, num_classes=2)


def train(path, alpha):
    return pack.train_pack(
        DATASET,
        variants.Autoencoder((2,), noise=0.1),
        recipes.Recipe(epochs=30, batch_size=20),
        path,
        seed=0,
        count=3,
        alpha=alpha,
    )


def spread(model) -> float:
    outputs = [in_batches(ae, IMAGES) for ae in model.autoencoders]
    return float(np.std(outputs, axis=0).mean())


def test_diversity_makes_them_differ_and_the_file_holds_them(tmp_path):
    alike = train(tmp_path / "alike.keras", alpha=0.0)
    diverse = train(tmp_path / "diverse.keras", alpha=0.9)
    assert spread(diverse) > spread(alike)

    loaded = loop.trained(tmp_path / "diverse.keras")
    np.testing.assert_array_equal(
        in_batches(loaded, IMAGES), in_batches(diverse, IMAGES)
    )
    assert loaded.picked == diverse.picked
