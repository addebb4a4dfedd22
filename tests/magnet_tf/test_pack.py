"""Packed autoencoders: one is picked by seed, and all are trained to differ."""

import keras
import numpy as np
import pytest

import magnet_tf
from magnet_tf.autoencoders import PackedAutoencoder, PackLoss, denoising_autoencoder

SHAPE = (8, 8, 1)
RNG = np.random.default_rng(0)
IMAGES = RNG.random((6, *SHAPE), dtype=np.float32)


@pytest.fixture(scope="module")
def models() -> list[keras.Model]:
    keras.utils.set_random_seed(0)
    return [denoising_autoencoder([2], SHAPE) for _ in range(4)]


def test_a_pack_stands_for_the_one_it_picked(models):
    for seed in range(5):
        pack = PackedAutoencoder(models, seed)
        np.testing.assert_array_equal(pack(IMAGES), models[pack.picked](IMAGES))
        assert PackedAutoencoder(models, seed).picked == pack.picked


def test_every_one_is_picked_by_some_seed(models):
    pack = PackedAutoencoder(models)
    picked = [pack.with_seed(seed).picked for seed in range(200)]
    assert np.bincount(picked, minlength=4).min() > 25


def test_in_training_all_answer(models):
    outputs = PackedAutoencoder(models)(IMAGES, training=True)
    for index, model in enumerate(models):
        np.testing.assert_array_equal(outputs[:, index], model(IMAGES))


@pytest.mark.parametrize("alpha", [0.0, 0.2])
def test_loss_is_the_papers(models, alpha):
    clean = RNG.random(IMAGES.shape)
    outputs = RNG.random((6, 4, *SHAPE))
    expected = 0.0
    for index in range(4):
        expected += np.mean((outputs[:, index] - clean) ** 2)
        expected -= alpha * np.mean((outputs[:, index] - outputs.mean(axis=1)) ** 2)
    assert float(PackLoss(alpha)(clean, outputs)) == pytest.approx(expected, rel=1e-5)


def test_a_defence_of_packs_is_saved_whole(models, tmp_path):
    pack = PackedAutoencoder(models, seed=3)
    classifier = keras.Sequential(
        [keras.layers.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    magnet = magnet_tf.MagNet(
        classifier,
        magnet_tf.Reformer(pack.with_seed(1)),
        {"I": magnet_tf.ReconstructionDetector(pack)},
    )
    magnet.calibrate(IMAGES, {"I": 0.4})
    magnet.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert loaded.detectors["I"].autoencoder.picked == pack.picked
    expected, verdict = magnet.judge(IMAGES), loaded.judge(IMAGES)
    np.testing.assert_array_equal(verdict.logits, expected.logits)
    np.testing.assert_array_equal(verdict.marks["I"], expected.marks["I"])


def test_an_empty_pack_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        PackedAutoencoder([])
