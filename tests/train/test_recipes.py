"""Recipes against the papers' numbers, and their limits by hand."""

import numpy as np
import pytest

from eval.presets import PRESETS
from magnet_tf.classifiers import PUBLISHED
from magnet_tf.datasets import Dataset, Split
from magnet_tf.datasets.dataset import OWN_RECIPES
from magnet_tf.variants import VARIANTS
from train.recipes import (
    AUTOENCODER,
    CLASSIFIER,
    PACK,
    SHORT_AUTOENCODER,
    SHORT_CLASSIFIER,
    SHORT_WIDE_AUTOENCODER,
    PackRecipe,
    Recipe,
    for_autoencoder,
    for_classifier,
    for_pack,
)


def test_the_published_recipes():
    assert CLASSIFIER["mnist"] == Recipe(epochs=50, batch_size=128, augment=False)
    assert CLASSIFIER["cifar10"] == Recipe(epochs=350, batch_size=128, augment=True)
    for name in ("mnist", "cifar10"):
        recipe = AUTOENCODER[name]
        assert recipe == Recipe(
            epochs=100, batch_size=256, activity_l2=recipe.activity_l2
        )


@pytest.mark.parametrize(
    "recipes", [AUTOENCODER, SHORT_AUTOENCODER, SHORT_WIDE_AUTOENCODER]
)
@pytest.mark.parametrize("name", OWN_RECIPES)
def test_an_images_activations_weigh_what_they_did_in_the_original(recipes, name):
    """Whose sum ran over batches of 256 images, with a weight of 1e-9."""
    assert recipes[name].activity_l2 == pytest.approx(256 * 1e-9, rel=1e-12)


@pytest.mark.parametrize("name", OWN_RECIPES)
def test_a_dataset_with_recipes_of_its_own_has_all_that_goes_with_them(name):
    for table in (CLASSIFIER, SHORT_CLASSIFIER, PACK, PUBLISHED, VARIANTS):
        assert name in table
    for preset in PRESETS.values():
        assert preset.confidences[name]


def test_packs_as_the_original_and_its_fork_trained_them():
    """Without activity regularizer: 3 epochs alone in batches of 256, then 128 together."""
    alone = Recipe(epochs=3, batch_size=256)
    for name, epochs in (("mnist", 30), ("cifar10", 100)):
        assert PACK[name]["original"] == PackRecipe(alone, Recipe(10, batch_size=128))
        assert PACK[name]["fork"] == PackRecipe(alone, Recipe(epochs, batch_size=128))


@pytest.mark.parametrize(
    ("steps", "images", "epochs"),
    [
        (350, 1000, 35),  # 10 steps an epoch, of 100 images
        (359, 1000, 35),
        (360, 1001, 32),  # 11 steps an epoch
        (5, 1000, 1),  # at least one epoch
        (10_000, 1000, 50),  # at most the recipe's own
    ],
)
def test_at_most_so_many_steps(steps, images, epochs):
    recipe = Recipe(epochs=50, batch_size=100, augment=True)
    assert recipe.at_most(steps, images) == Recipe(epochs, 100, augment=True)


def dataset(name: str, channels: int = 1) -> Dataset:
    split = Split(np.zeros((1, 4, 4, channels), np.float32), np.zeros(1, np.int64))
    return Dataset(name, split, split, split, num_classes=2)


@pytest.mark.parametrize(
    ("name", "channels", "like"),
    [
        ("digits", 1, "digits"),
        ("mnist", 1, "mnist"),
        ("cifar10", 3, "cifar10"),
        ("kmnist", 1, "mnist"),
        ("svhn_cropped", 3, "cifar10"),
    ],
)
def test_a_dataset_without_a_recipe_of_its_own_has_that_of_its_like(
    name, channels, like
):
    data, structure = dataset(name, channels), (3, "average", 3)
    assert data.like == like
    assert for_classifier("published", data) is CLASSIFIER[like]
    assert for_classifier("short", data) is SHORT_CLASSIFIER[like]
    assert for_autoencoder("published", data, structure) is AUTOENCODER[like]
    assert for_autoencoder("short", data, structure) is SHORT_AUTOENCODER[like]
    assert for_pack("fork", data) is PACK[like]["fork"]


@pytest.mark.parametrize(
    ("name", "channels", "sentence"),
    [
        ("mnist", 1, None),
        ("mnist_sample", 1, None),
        ("cifar10", 3, None),
        ("digits", 1, "architectures, variants and values of kappa are MNIST's"),
        ("fashion_mnist", 1, "architectures, variants and values of kappa are MNIST's"),
        ("kmnist", 1, "recipes, variants and values of kappa are MNIST's"),
        ("svhn_cropped", 3, "recipes, variants and values of kappa are CIFAR-10's"),
    ],
)
def test_a_dataset_that_is_not_in_the_paper_says_whose_recipes_it_has(
    name, channels, sentence
):
    said = dataset(name, channels).borrows
    if sentence is None:
        assert said is None
    else:
        assert said.startswith(f"{name} is not in MagNet's paper: ")
        assert said.endswith(f"{sentence}.")


def test_wide_autoencoders_have_a_short_recipe_of_their_own():
    mnist = dataset("mnist")
    for structure in [(256,), (256, "average", 256)]:
        wide = for_autoencoder("short", mnist, structure)
        assert wide is SHORT_WIDE_AUTOENCODER["mnist"]
        assert for_autoencoder("published", mnist, structure) is AUTOENCODER["mnist"]
