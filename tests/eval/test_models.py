"""What a finished autoencoder's card says of how another one is to be trained."""

from dataclasses import asdict

from eval import models
from magnet_tf import autoencoders, cards
from train.recipes import Recipe

RECIPE = Recipe(epochs=2, batch_size=8, peak_rate=0.01, activity_l2=256e-9)


def test_an_autoencoder_is_trained_by_the_recipe_on_its_card(tmp_path):
    path = tmp_path / "autoencoder_I.keras"
    assert models.trained_by(path) is None
    model = autoencoders.denoising_autoencoder([1], (4, 4, 1))
    cards.save(path, model, {**asdict(RECIPE), "loss": "mae", "seed": 3})
    assert models.trained_by(path) == (RECIPE, "mae")


def test_a_card_of_an_earlier_version_lacks_what_came_later(tmp_path):
    path = tmp_path / "autoencoder_I.keras"
    model = autoencoders.denoising_autoencoder([1], (4, 4, 1))
    card = {**asdict(RECIPE), "loss": "mse"}
    del card["cutout"], card["weight_decay"]
    cards.save(path, model, card)
    assert models.trained_by(path) == (RECIPE, "mse")
