"""Bad input to the attacks: each one clear error, before any work."""

import numpy as np
import pytest
import tensorflow as tf

from attacks import carlini_wagner_l2, elastic_net
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
    "half precision": (lambda x: tf.cast(MODEL(x), "float16"), "float32.*float16"),
    "no classes": (lambda x: MODEL(x)[:, 0], r"\[N, K\]"),
}
BAD_SETTINGS = {
    "confidence": [-1.0, np.nan, np.inf],
    "learning_rate": [0.0, -0.1, np.nan],
    "max_iterations": [0, -5],
    "binary_search_steps": [0],
    "initial_const": [0.0, -1.0, np.inf],
    "batch_size": [0, -1],
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
    with pytest.raises(ValueError, match=f"^{name} must be .* 0, got {value}"):
        attack(MODEL, X, LABELS, **{name: value})


def test_beta():
    with pytest.raises(ValueError, match="^beta must be .* at least 0, got -0.1"):
        elastic_net(MODEL, X, LABELS, beta=-0.1)


@both_attacks
@pytest.mark.parametrize("bounds", [(1.0, 0.0), (0.5, 0.5)])
def test_bounds(attack, bounds):
    with pytest.raises(ValueError, match="low < high"):
        attack(MODEL, np.full((1, *SHAPE), 0.5), [0], bounds=bounds)
