"""Recipes against the papers' numbers, and their limits by hand."""

import pytest

from train.recipes import (
    AUTOENCODER,
    CLASSIFIER,
    SHORT_AUTOENCODER,
    SHORT_CLASSIFIER,
    SHORT_WIDE_AUTOENCODER,
    Recipe,
    for_autoencoder,
    for_classifier,
)


def test_the_published_recipes():
    assert CLASSIFIER["mnist"] == Recipe(epochs=50, batch_size=128, augment=False)
    assert CLASSIFIER["cifar10"] == Recipe(epochs=350, batch_size=128, augment=True)
    for name in ("mnist", "cifar10"):
        assert AUTOENCODER[name] == Recipe(epochs=100, batch_size=256, augment=False)


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


@pytest.mark.parametrize(
    ("name", "channels", "like"),
    [("digits", 1, "digits"), ("kmnist", 1, "mnist"), ("svhn_cropped", 3, "cifar10")],
)
def test_a_dataset_without_a_recipe_of_its_own_has_that_of_its_like(
    name, channels, like
):
    assert for_classifier("published", name, channels) is CLASSIFIER[like]
    assert for_classifier("short", name, channels) is SHORT_CLASSIFIER[like]
    asked = name, channels, (3, "average", 3)
    assert for_autoencoder("published", *asked) is AUTOENCODER[like]
    assert for_autoencoder("short", *asked) is SHORT_AUTOENCODER[like]


def test_wide_autoencoders_have_a_short_recipe_of_their_own():
    for structure in [(256,), (256, "average", 256)]:
        asked = "mnist", 1, structure
        assert for_autoencoder("short", *asked) is SHORT_WIDE_AUTOENCODER["mnist"]
        assert for_autoencoder("published", *asked) is AUTOENCODER["mnist"]
