"""A classifier is asked in inference mode: what an attack claims is what `predict` says."""

import hashlib
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from attacks import carlini_wagner_l2, elastic_net
from attacks.result import measured
from attacks.victim import Victim

SHAPE, CLASSES = (8, 8, 1), 4
SETTINGS = {
    "exact": {"max_iterations": 30, "binary_search_steps": 3, "initial_const": 1.0},
    "primal_dual": {"search": "primal_dual"},
}


def resizing() -> list[keras.Layer]:
    return [
        keras.layers.Resizing(6, 6),
        keras.layers.Conv2D(8, 3),
        keras.layers.BatchNormalization(momentum=0.5),
        keras.layers.Activation("relu"),
    ]


def random_rotation() -> list[keras.Layer]:
    return [keras.layers.RandomRotation(0.25, seed=1), keras.layers.Conv2D(8, 3)]


def dropout() -> list[keras.Layer]:
    return [keras.layers.Conv2D(8, 3), keras.layers.Dropout(0.5, seed=1)]


def everything() -> list[keras.Layer]:
    """All of them, one after the other."""
    rotation, *_ = random_rotation()
    return [rotation, *resizing(), keras.layers.Dropout(0.5, seed=1)]


def build(
    layers: Callable[[], list[keras.Layer]], dtype: str = "float32"
) -> keras.Sequential:
    keras.utils.set_random_seed(1)  # before a layer is made, which draws its own seed
    spread = keras.initializers.RandomNormal(stddev=1.0)
    return keras.Sequential(
        [
            keras.layers.Input(SHAPE),
            *layers(),
            keras.layers.Flatten(),
            keras.layers.Dense(CLASSES, kernel_initializer=spread, dtype=dtype),
        ]
    )


def digest(model: keras.Model) -> str:
    values = [np.asarray(variable).tobytes() for variable in model.variables]
    return hashlib.sha256(b"".join(values)).hexdigest()


def craft(model: keras.Model, x, labels, confidence: float, how: str) -> dict:
    """Results by all rules."""
    settings = {"confidence": confidence} | SETTINGS[how]
    rate = {"learning_rate": 0.1} if how == "exact" else {}
    found = carlini_wagner_l2(model, x, labels, **settings, **rate)
    return {"L2": found, **elastic_net(model, x, labels, **settings)}


def loses(model: keras.Model, x, labels, confidence: float) -> np.ndarray:
    """Whether the label loses by the confidence under `predict`."""
    logits = model.predict(x, verbose=0).astype(np.float32)
    logits[np.arange(len(x)), labels] += np.float32(confidence)
    return logits.argmax(axis=1) != labels


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.RandomState(0).uniform(size=(20, *SHAPE)).astype(np.float32)


@pytest.mark.parametrize("how", SETTINGS)
@pytest.mark.parametrize("layers", [resizing, random_rotation, dropout, everything])
def test_success_is_that_of_predict_and_no_variable_changes(images, layers, how):
    model = build(layers)
    labels = model.predict(images, verbose=0).argmax(axis=1)
    before = digest(model)
    for confidence in (0.0, 2.0):
        for result in craft(model, images, labels, confidence, how).values():
            assert result.success.sum() >= 10
            holds = loses(model, result.adversarial, labels, confidence)
            np.testing.assert_array_equal(result.success, holds)
    assert digest(model) == before


@pytest.mark.parametrize("dtype", ["mixed_float16", "bfloat16", "float64"])
def test_models_of_another_precision(images, dtype):
    model = build(lambda: [keras.layers.Conv2D(8, 3, dtype=dtype)], dtype)
    labels = model.predict(images, verbose=0).argmax(axis=1)
    for how in SETTINGS:
        for result in craft(model, images, labels, 1.0, how).values():
            assert result.success.sum() >= 10
            assert result.adversarial.dtype == np.float32
            holds = loses(model, result.adversarial, labels, 1.0)
            np.testing.assert_array_equal(result.success, holds)


def test_an_example_that_does_not_hold_is_no_success(images, monkeypatch):
    labels = np.arange(20) % CLASSES
    examples = np.clip(images + np.float32(0.1), 0, 1)
    success = np.arange(20) < 15
    found = measured(images, examples, success, np.ones(20))
    asked = []

    def holds(x, labels, confidence):
        asked.append((x.numpy(), labels.numpy(), confidence.numpy()))
        return tf.constant(np.arange(20) % 2 == 0)

    victim = Victim(build(dropout), targeted=False, bounds=(0, 1), jit_compile=None)
    monkeypatch.setattr(victim, "_holds", holds)
    result = victim.verified(images, labels, 3.0, found)
    np.testing.assert_array_equal(asked[0][0], found.adversarial)
    np.testing.assert_array_equal(asked[0][1], labels)
    np.testing.assert_array_equal(asked[0][2], np.full(20, 3.0))
    kept = success & (np.arange(20) % 2 == 0)
    np.testing.assert_array_equal(result.success, kept)
    np.testing.assert_array_equal(result.adversarial[~kept], images[~kept])
    np.testing.assert_array_equal(result.adversarial[kept], examples[kept])
    assert not result.l1[~kept].any()
