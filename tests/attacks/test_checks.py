"""Bad input to the attacks: each one clear error, before any work."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf

from attacks import InputError, InputTypeError, carlini_wagner_l2, elastic_net
from tests.attacks.small_model import CLASSES, SHAPE, SmallModel, images

MODEL, X, LABELS = SmallModel(), images(20), np.arange(20) % CLASSES


def with_value(value, at=17):
    x = X.copy()
    x[at, 0, 0, 0] = value
    return x


BAD_IMAGES = {
    "above the bounds": (
        with_value(1.5),
        ValueError,
        r"within the bounds \(0.0, 1.0\).*1.5",
    ),
    "below the bounds": (
        with_value(-0.5),
        ValueError,
        r"within the bounds \(0.0, 1.0\).*-0.5",
    ),
    "NaN": (with_value(np.nan), ValueError, "NaN or infinite"),
    "infinite": (with_value(np.inf), ValueError, "NaN or infinite"),
    "a single image": (X[0], ValueError, r"\[N, H, W, C\], got shape \(6, 6, 1\)"),
    "flat": (X.reshape(20, -1), ValueError, r"\[N, H, W, C\], got shape \(20, 36\)"),
    "none": (X[:0], ValueError, "non-empty"),
    "8-bit": ((X * 255).astype(np.uint8), TypeError, "floats.*uint8"),
    "integers": (X.astype(int), TypeError, "floats.*int64"),
}
BAD_LABELS = {
    "too large": (np.full(20, CLASSES), ValueError, r"0\.\.3"),
    "negative": (np.full(20, -1), ValueError, r"0\.\.3.*-1"),
    "too few": (LABELS[:19], ValueError, r"20 images.*\(19,\)"),
    "a single one": (3, ValueError, r"20 images.*\(\)"),
    "one-hot": (np.eye(CLASSES, dtype=int)[LABELS], ValueError, "one-hot.*argmax"),
    "one-hot floats": (np.eye(CLASSES)[LABELS], ValueError, "one-hot.*argmax"),
    "floats": (LABELS.astype(float), TypeError, "labels must be integers"),
}
BAD_CLASSIFIERS = {
    "probabilities": (lambda x: tf.nn.softmax(MODEL(x)), "probabilities.*logits"),
    "NaN": (lambda x: MODEL(x) * np.nan, "NaN or infinite logits"),
    "infinite": (lambda x: MODEL(x) + np.inf, "NaN or infinite logits"),
    "one output": (lambda x: MODEL(x)[:, :1], r"\[N, K\] with K at least 2"),
    "integers": (lambda x: tf.cast(MODEL(x), "int32"), "must return floats.*int32"),
    "half probabilities": (
        lambda x: tf.nn.softmax(tf.cast(MODEL(x), "bfloat16")),
        "probabilities.*logits",
    ),
    "other images": (
        lambda x: MODEL(x[:, :2]),
        r"fails on images of shape \(20, 6, 6, 1\)",
    ),
    "NumPy's": (
        lambda x: MODEL.logits(np.asarray(x)).astype(np.float32),
        "cannot be differentiated.*not its predict",
    ),
    "constant": (
        lambda x: tf.one_hot(tf.zeros(len(x), "int32"), CLASSES) - 1,
        "cannot be differentiated",
    ),
    "no classes": (lambda x: MODEL(x)[:, 0], r"\[N, K\]"),
}
BAD_SETTINGS = {
    "confidence": [-1.0, np.nan, np.inf, 1e39],
    "learning_rate": [0.0, -0.1, np.nan],
    "max_iterations": [0, -5],
    "binary_search_steps": [0],
    "initial_const": [0.0, -1.0, np.inf],
    "batch_size": [0, -1],
}
BAD_TYPES = {
    "confidence": ["a", None, True, 1j, [[1.0], [1.0, 2.0]]],
    "learning_rate": ["0.1", True, [0.1]],
    "max_iterations": [2.5, True, "10", 10.0],
    "binary_search_steps": [2.5, np.float32(2)],
    "initial_const": ["1", False],
    "batch_size": [2.5, True],
    "bounds": ["ab", 1.0, None, (0.0, 0.5, 1.0), ("0", "1"), (False, True)],
    "targeted": ["no", 1, None, np.zeros((2, 2))],
    "progress": ["no", 0],
    "jit_compile": ["yes", 1],
    "search": [None, 3, ["exact"], np.zeros((2, 2))],
}
BAD_VALUES = {
    "bounds": [(1.0, 0.0), (0.5, 0.5), (0, np.inf), (np.nan, 1), (0, 1e39)],
    "search": ["quick", ""],
}

both_attacks = pytest.mark.parametrize("attack", [carlini_wagner_l2, elastic_net])


@both_attacks
@pytest.mark.parametrize("case", BAD_IMAGES)
def test_images(attack, case):
    x, error, message = BAD_IMAGES[case]
    with pytest.raises(error, match=message):
        attack(MODEL, x, LABELS)


@both_attacks
@pytest.mark.parametrize("case", BAD_LABELS)
def test_labels(attack, case):
    labels, error, message = BAD_LABELS[case]
    with pytest.raises(error, match=message):
        attack(MODEL, X, labels)


@both_attacks
@pytest.mark.parametrize("case", BAD_CLASSIFIERS)
def test_classifier(attack, case):
    classifier, message = BAD_CLASSIFIERS[case]
    with pytest.raises(ValueError, match=message):
        attack(classifier, X, LABELS)


@both_attacks
@pytest.mark.parametrize(
    ("name", "value"),
    [(name, value) for name, values in BAD_SETTINGS.items() for value in values],
)
def test_settings(attack, name, value):
    with pytest.raises(
        InputError, match=f"^{name} must be .* 0, got {re.escape(str(value))}"
    ):
        attack(MODEL, X, LABELS, **{name: value})


@both_attacks
@pytest.mark.parametrize("name", BAD_TYPES)
def test_types(attack, name):
    for value in BAD_TYPES[name]:
        with pytest.raises(InputTypeError, match=f"^{name} must be .*, got ") as caught:
            attack(MODEL, X, LABELS, **{name: value})
        assert isinstance(caught.value, (TypeError, ValueError))
        assert "\n" not in str(caught.value)


@both_attacks
@pytest.mark.parametrize("name", BAD_VALUES)
def test_values(attack, name):
    for value in BAD_VALUES[name]:
        with pytest.raises(InputError, match=f"^{name} must be .*, got ") as caught:
            attack(MODEL, X, LABELS, **{name: value})
        assert not isinstance(caught.value, InputTypeError)


@both_attacks
def test_images_of_another_size_than_the_models(attack):
    model = keras.Sequential(
        [keras.layers.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(CLASSES)]
    )
    with pytest.raises(
        InputError, match=r"\[None, 6, 6, 1\].*got shape \(20, 5, 6, 1\)"
    ):
        attack(model, X[:, :5], LABELS)


@both_attacks
def test_what_is_no_classifier_or_no_array(attack):
    with pytest.raises(InputTypeError, match="classifier must be callable.*NoneType"):
        attack(None, X, LABELS)
    with pytest.raises(InputTypeError, match="images must be an array"):
        attack(MODEL, [[0.5], [0.5, 0.5]], LABELS)


def test_numbers_of_numpy_are_numbers():
    settings = {"confidence": np.float32(0), "max_iterations": np.int64(2)}
    settings |= {"batch_size": np.int32(20), "binary_search_steps": np.uint8(1)}
    settings |= {"targeted": np.bool_(False), "bounds": np.array([0.0, 1.0])}
    assert len(carlini_wagner_l2(MODEL, X, LABELS, **settings).success) == len(X)


def test_beta():
    with pytest.raises(ValueError, match="^beta must be .* at least 0, got -0.1"):
        elastic_net(MODEL, X, LABELS, beta=-0.1)
