"""Models are asked in inference mode, and give float32 whatever they compute in."""

import hashlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from magnet_tf import DivergenceDetector, MagNet, ReconstructionDetector, Reformer
from magnet_tf.arrays import predicted

SHAPE, CLASSES = (10, 10, 3), 4
IMAGES, VALIDATION = np.random.default_rng(0).random((2, 9, *SHAPE), dtype=np.float32)


def classifier() -> keras.Model:
    """Of the layers that do something else in training."""
    return keras.Sequential(
        [
            layers.Input(SHAPE),
            layers.Resizing(8, 8),
            layers.RandomRotation(0.4, seed=0),
            layers.RandomFlip(seed=0),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            layers.Dropout(0.5, seed=0),
            layers.Flatten(),
            layers.Dense(CLASSES),
        ]
    )


def autoencoder() -> keras.Model:
    return keras.Sequential(
        [
            layers.Input(SHAPE),
            layers.CenterCrop(8, 8),
            layers.GaussianNoise(0.5, seed=0),
            layers.Resizing(10, 10),
            layers.BatchNormalization(),
            layers.Conv2D(3, 3, padding="same", activation="sigmoid"),
        ]
    )


class Doubt(layers.Layer):
    """A user's own detector, which asks a model in the plain way."""

    def __init__(self, model: keras.Model):
        super().__init__()
        self.model = model

    def mark(self, x):
        return -keras.ops.max(self.model(x), axis=-1)


class OwnReformer(layers.Layer):
    """A user's own reformer, which asks a model in the plain way."""

    def __init__(self, model: keras.Model):
        super().__init__()
        self.model = model

    def heal(self, x):
        return keras.ops.clip(self.model(x), 0, 1)


def digest(model: keras.Model) -> str:
    """Of every variable, such as statistics and the states of random generators."""
    arrays = [keras.ops.convert_to_numpy(v).tobytes() for v in model.variables]
    return hashlib.sha256(b"".join(arrays)).hexdigest()


@pytest.fixture(scope="module", params=[Reformer, OwnReformer])
def magnet(request) -> MagNet:
    keras.utils.set_random_seed(0)
    model, one = classifier(), autoencoder()
    for variable in model.layers[4].non_trainable_variables:  # as if trained
        variable.assign(0.5 + variable)
    parts = {
        "I": ReconstructionDetector(one, p=1),
        "JSD": DivergenceDetector(one, model),
        "doubt": Doubt(model),
    }
    return MagNet(model, request.param(one), parts)


def test_predicted_is_keras_predict_and_changes_nothing():
    model = classifier()
    before = digest(model)
    expected = model.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(predicted(model, IMAGES), expected, atol=1e-6)
    np.testing.assert_allclose(predicted(model, IMAGES, 4), expected, atol=1e-6)
    assert digest(model) == before


def test_a_model_whose_call_knows_no_training():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = classifier()

        def call(self, x):
            return self.inner(x)

    model = Own()
    expected = model.inner.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(predicted(model, IMAGES), expected, atol=1e-6)


def test_a_defence_is_what_predict_says_and_changes_nothing(magnet):
    before = digest(magnet)
    magnet.calibrate(VALIDATION, {"I": 0.4, "JSD": 0.4, "doubt": 0.4})
    thresholds = magnet.thresholds
    verdict = magnet.judge(IMAGES)
    magnet.set_thresholds(dict.fromkeys(thresholds, np.inf))
    model, one = magnet.classifier, magnet.detectors["I"].autoencoder

    def marks(x):
        # the detectors' own formulas are tested elsewhere: here, of what they are given
        reconstructed = one.predict(x, verbose=0)
        return {
            "I": np.abs(x - reconstructed).mean(axis=(1, 2, 3)),
            "doubt": -model.predict(x, verbose=0).max(axis=1),
        }

    for name, expected in marks(IMAGES).items():
        np.testing.assert_allclose(verdict.marks[name], expected, atol=1e-6)
    for name, expected in marks(VALIDATION).items():
        assert thresholds[name] == pytest.approx(np.sort(expected)[-3], abs=1e-6)
    healed = np.clip(one.predict(IMAGES, verbose=0), 0, 1)
    logits = model.predict(healed, verbose=0)
    np.testing.assert_allclose(verdict.logits, logits, atol=1e-5)
    magnet._thresholds.assign([np.nan] * 3)
    assert digest(magnet) == before


def test_an_exported_defence_is_asked_in_inference_mode(magnet, tmp_path):
    magnet.calibrate(VALIDATION, {"I": 0.4, "JSD": 0.4, "doubt": 0.4})
    verdict = magnet.judge(IMAGES)
    magnet.export(tmp_path / "exported")
    serve = tf.saved_model.load(tmp_path / "exported").signatures["serving_default"]
    outputs = serve(images=tf.constant(IMAGES))
    np.testing.assert_allclose(outputs["logits"], verdict.logits, atol=1e-5)
    for name, marks in verdict.marks.items():
        np.testing.assert_allclose(outputs[f"marks_{name}"], marks, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16", "mixed_bfloat16"])
def test_models_in_half_precision(policy, tmp_path):
    keras.config.set_dtype_policy(policy)
    try:
        model, one = classifier(), autoencoder()
    finally:
        keras.config.set_dtype_policy("float32")
    assert keras.backend.standardize_dtype(model(IMAGES).dtype) in policy
    assert predicted(model, IMAGES).dtype == np.float32
    parts = {"I": ReconstructionDetector(one), "JSD": DivergenceDetector(one, model)}
    magnet = MagNet(model, Reformer(one), parts)
    magnet.calibrate(VALIDATION, {"I": 0.4, "JSD": 0.4})
    magnet.save(tmp_path / "defended.keras")
    magnet = keras.saving.load_model(tmp_path / "defended.keras")
    verdict = magnet.judge(IMAGES)
    assert verdict.logits.dtype == np.float32
    assert magnet.reformer.heal(IMAGES).dtype == np.float32
    healed = np.clip(predicted(one, IMAGES), 0, 1)
    np.testing.assert_array_equal(verdict.logits, predicted(model, healed))
    for marks in verdict.marks.values():
        assert marks.dtype == np.float32 and np.isfinite(marks).all()
