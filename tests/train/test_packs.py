"""Training a pack: each a little alone, then all together."""

import numpy as np
import pytest

from magnet_tf import cards, datasets, variants
from magnet_tf.arrays import in_batches
from train import packs, recipes
from train.errors import TrainingError

IMAGES = np.random.default_rng(0).random((40, 8, 8, 1), dtype=np.float32)
SPLIT = datasets.Split(IMAGES, np.zeros(40, np.int64))
RECIPE = recipes.PackRecipe(
    alone=recipes.Recipe(epochs=3, batch_size=20),
    together=recipes.Recipe(epochs=30, batch_size=20),
)
DATASET = datasets.Dataset("made up", SPLIT, SPLIT, SPLIT, num_classes=2)


def train(path, alpha, recipe=RECIPE):
    return packs.train_pack(
        DATASET,
        variants.Autoencoder((2,), noise=0.1),
        recipe,
        path,
        seed=0,
        count=3,
        alpha=alpha,
    ).model


@pytest.fixture(scope="module")
def diverse(tmp_path_factory):
    """The path of a pack, and the pack that was trained into it."""
    path = tmp_path_factory.mktemp("pack") / "diverse.keras"
    return path, train(path, alpha=0.9)


def spread(model) -> float:
    outputs = [in_batches(ae, IMAGES) for ae in model.autoencoders]
    return float(np.std(outputs, axis=0).mean())


def test_diversity_makes_them_differ(diverse, tmp_path):
    alike = train(tmp_path / "alike.keras", alpha=0.0)
    assert spread(diverse[1]) > spread(alike)


def test_the_file_holds_them(diverse):
    path, pack = diverse
    loaded = cards.load(path).model
    np.testing.assert_array_equal(in_batches(loaded, IMAGES), in_batches(pack, IMAGES))
    assert loaded.picked == pack.picked


def test_no_autoencoder_of_a_pack_is_regularized(diverse):
    layers = [i for ae in diverse[1].autoencoders for i in ae.layers]
    assert all(getattr(i, "activity_regularizer", None) is None for i in layers)


@pytest.mark.parametrize("alpha", [float("nan"), float("inf"), -1.0])
def test_a_weight_that_is_none(alpha, tmp_path):
    with pytest.raises(TrainingError, match="alpha must be a number of at least 0"):
        train(tmp_path / "it.keras", alpha)
    assert not list(tmp_path.iterdir())
