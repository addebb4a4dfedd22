"""The noise, and what the autoencoders' training asks of the training loop."""

import inspect

import keras
import numpy as np
import pytest

from magnet_tf.datasets import Dataset, Split
from magnet_tf.variants import Autoencoder
from train import autoencoders, loop
from train.errors import TrainingError
from train.recipes import Recipe

RECIPE = Recipe(epochs=1, batch_size=8)
SPEC = Autoencoder((2, "max"), noise=0.1)
GREY = np.full((200, 8, 8, 1), 0.5, np.float32)


def test_noise_has_its_standard_deviation():
    noise = autoencoders.add_noise(GREY, 0.1, seed=0) - GREY
    assert noise.dtype == np.float32
    assert noise.std() == pytest.approx(0.1, rel=0.03)
    assert noise.mean() == pytest.approx(0, abs=3e-3)


def test_noise_is_clipped():
    black = autoencoders.add_noise(np.zeros_like(GREY), 0.1, seed=0)
    white = autoencoders.add_noise(np.ones_like(GREY), 0.1, seed=0)
    assert black.min() == 0 and white.max() == 1
    assert np.mean(black == 0) == pytest.approx(0.5, abs=0.03)
    assert np.mean(white == 1) == pytest.approx(0.5, abs=0.03)


def test_noise_follows_its_seed():
    one, again, other = (autoencoders.add_noise(GREY, 0.1, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert np.abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.05


def test_no_noise():
    np.testing.assert_array_equal(autoencoders.add_noise(GREY, 0.0, seed=0), GREY)


@pytest.fixture
def asked(monkeypatch):
    """What the training loop is called with, by the names of its arguments."""
    arguments, signature = {}, inspect.signature(loop.train)

    def train(*args, **kwargs):
        arguments.update(signature.bind(*args, **kwargs).arguments)

    monkeypatch.setattr(loop, "train", train)
    return arguments


def train(path, loss="mse", recipe=RECIPE, spec=SPEC):
    random = np.random.RandomState(0)
    splits = [
        Split(random.uniform(size=(n, 8, 8, 1)).astype(np.float32), np.zeros(n, int))
        for n in (12, 8, 4)
    ]
    data = Dataset("made up", *splits, num_classes=1)
    autoencoders.train_autoencoder(data, spec, recipe, path, 7, loss)
    return data


def test_it_learns_from_noisy_images_toward_clean_ones(asked, tmp_path):
    data = train(tmp_path / "it.keras")
    assert asked["targets"] is data.train.images
    noise = asked["inputs"] - asked["targets"]
    assert 0.05 < noise.std() < 0.1  # of 0.1, less what was clipped
    pools = [i for i in asked["build"]().layers if "Pooling" in type(i).__name__]
    assert [type(pool) for pool in pools] == [keras.layers.MaxPooling2D]
    settings = {"dataset": "made up", "structure": (2, "max"), "noise": 0.1}
    assert asked["settings"] == {**settings, "loss": "mse"}
    assert asked["recipe"] == RECIPE and asked["seed"] == 7
    assert asked["path"] == tmp_path / "it.keras"


def test_the_optimizer_is_adam_as_it_comes(asked, tmp_path):
    train(tmp_path / "it.keras")
    optimizer = asked["build"]().optimizer
    assert isinstance(optimizer, keras.optimizers.Adam)
    values = optimizer.beta_1, optimizer.beta_2, optimizer.epsilon
    assert values == (0.9, 0.999, 1e-7)
    assert float(optimizer.learning_rate) == pytest.approx(1e-3)


def test_an_images_activations_weigh_the_same_in_batches_of_any_size(asked, tmp_path):
    """As in the original's batches of 256, where each adds 1e-9 times its sum."""
    train(tmp_path / "it.keras", recipe=Recipe(1, batch_size=8, activity_l2=256e-9))
    model = asked["build"]()
    images = np.random.RandomState(0).uniform(size=(8, 8, 8, 1)).astype(np.float32)
    convolutions = [layer for layer in model.layers if "conv" in layer.name]
    said = keras.Model(model.input, [layer.output for layer in convolutions])(images)
    squares = sum(float((np.float64(one) ** 2).sum()) for one in said)
    model(images, training=True)
    assert float(sum(model.losses)) == pytest.approx(256e-9 * squares / 8, rel=1e-5)


def test_no_weight_no_regularizer(asked, tmp_path):
    train(tmp_path / "it.keras")
    layers_of = asked["build"]().layers
    assert all(getattr(i, "activity_regularizer", None) is None for i in layers_of)


@pytest.mark.parametrize(("loss", "value"), [("mse", 0.05), ("mae", 0.2)])
def test_what_is_minimised(loss, value, asked, tmp_path):
    """Of errors 0.1 and 0.3: mean square 0.05, mean 0.2."""
    train(tmp_path / "it.keras", loss)
    model = asked["build"]()
    clean = np.zeros((1, 8, 8, 1), np.float32)
    wrong = clean + np.float32([0.1, 0.3] * 4)[:, None]
    loss_value = model.compute_loss(y=clean, y_pred=keras.ops.convert_to_tensor(wrong))
    assert float(loss_value) == pytest.approx(value, rel=1e-5)


def test_the_card_gets_the_errors_on_validation_images(asked, tmp_path):
    """Of an autoencoder that returns black: those of the images themselves."""
    clean = train(tmp_path / "it.keras").validation.images
    black = keras.Sequential(
        [keras.layers.Input((8, 8, 1)), keras.layers.Rescaling(0.0)]
    )
    assert asked["evaluate"](black) == {
        "validation_mse": pytest.approx(np.mean(clean**2), rel=1e-5),
        "validation_mae": pytest.approx(np.mean(clean), rel=1e-5),
    }


@pytest.mark.parametrize("noise", [float("nan"), float("inf"), -0.1])
def test_noise_that_is_none(noise, asked, tmp_path):
    with pytest.raises(TrainingError, match="deviation must be a number of at least 0"):
        train(tmp_path / "it.keras", spec=Autoencoder((2,), noise))
    assert not asked
