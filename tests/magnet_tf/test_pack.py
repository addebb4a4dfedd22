"""Packed autoencoders: one is picked by seed, and all are trained to differ."""

import keras
import numpy as np
import pytest

import magnet_tf
from magnet_tf.arrays import predicted
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


# All of a pack at once


@pytest.fixture(scope="module")
def classifier() -> keras.Model:
    flat = [keras.layers.Input(SHAPE), keras.layers.Flatten()]
    return keras.Sequential([*flat, keras.layers.Dense(3)])


def test_every_autoencoder_of_the_packs_is_a_detector(models, classifier, tmp_path):
    """Against marks and healed images by NumPy, and saved like any MagNet."""
    packs = {"I": PackedAutoencoder(models[:2]).autoencoders, "II": models[2:]}
    magnet = magnet_tf.packs.all_active(classifier, packs, {"I": 1, "II": 2})
    names = ["I_0", "I_1", "II_0", "II_1"]
    assert list(magnet.detectors) == names
    magnet.calibrate(IMAGES, dict.fromkeys(names, 0.2))
    magnet.save(tmp_path / "defended.keras")
    for defence in (magnet, magnet_tf.saved.load_defence(tmp_path / "defended.keras")):
        verdict = defence.judge(IMAGES)
        for name, model, p in zip(names, models, (1, 1, 2, 2), strict=True):
            error = np.abs(IMAGES - predicted(model, IMAGES)) ** p
            np.testing.assert_allclose(
                verdict.marks[name], error.mean(axis=(1, 2, 3)), rtol=1e-5
            )
        healed = np.clip(predicted(models[0], IMAGES), 0, 1)
        np.testing.assert_allclose(
            verdict.logits, predicted(classifier, healed), rtol=1e-5, atol=1e-6
        )
        below = [verdict.marks[n] < magnet.thresholds[n] for n in names]
        np.testing.assert_array_equal(verdict.passed, np.all(below, axis=0))


@pytest.mark.parametrize(
    ("packs", "exponents", "message"),
    [
        ({}, {}, "at least one autoencoder"),
        ({"I": []}, {"I": 1}, "at least one autoencoder"),
        ({"I": [None]}, {"II": 1}, r"packs \['I'\], got \['II'\]"),
    ],
)
def test_packs_and_exponents_that_do_not_fit(classifier, packs, exponents, message):
    with pytest.raises(ValueError, match=message):
        magnet_tf.packs.all_active(classifier, packs, exponents)
