"""Recipes against the papers' numbers, and their limits by hand."""

import pytest

from train.recipes import AUTOENCODER, CLASSIFIER, Recipe, for_dataset


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


def test_datasets_without_a_recipe_of_their_own():
    assert for_dataset(CLASSIFIER, "digits", channels=1) is CLASSIFIER["digits"]
    assert for_dataset(CLASSIFIER, "kmnist", channels=1) is CLASSIFIER["mnist"]
    assert for_dataset(CLASSIFIER, "svhn_cropped", channels=3) is CLASSIFIER["cifar10"]
