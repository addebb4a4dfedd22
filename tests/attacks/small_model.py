"""A classifier small enough to differentiate by hand, and a spy that sees an attack's iterates."""

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

SHAPE, CLASSES = (6, 6, 1), 4


class SmallModel(keras.Model):
    """logits = tanh(x A + a) B + b: called, in TensorFlow; by its methods, in float64.

    A Keras model, since of those the attacks keep what they have compiled, for all tests.
    """

    def __init__(self, seed: int = 1, hidden: int = 12):
        super().__init__()
        random = np.random.RandomState(seed)
        pixels = int(np.prod(SHAPE))
        parameters = (
            random.normal(0, 1 / np.sqrt(pixels), (pixels, hidden)),
            random.normal(0, 0.1, hidden),
            random.normal(0, 2 / np.sqrt(hidden), (hidden, CLASSES)),
            random.normal(0, 0.1, CLASSES),
        )
        self.float32 = [p.astype(np.float32) for p in parameters]
        self.float64 = [p.astype(np.float64) for p in self.float32]

    def call(self, x):
        A, a, B, b = self.float32
        return tf.tanh(tf.reshape(x, [-1, len(A)]) @ A + a) @ B + b

    def logits(self, x: np.ndarray) -> np.ndarray:
        A, a, B, b = self.float64
        return np.tanh(x.reshape(len(x), -1) @ A + a) @ B + b

    def gradient(self, x: np.ndarray, of_logits: np.ndarray) -> np.ndarray:
        """What a gradient [N, K] with respect to the logits is with respect to x."""
        A, a, B, _ = self.float64
        h = np.tanh(x.reshape(len(x), -1) @ A + a)
        return (((of_logits @ B.T) * (1 - h**2)) @ A.T).reshape(x.shape)


class Spy:
    """A classifier that keeps what it is called with.

    The attacks take any function that TensorFlow can differentiate, so this shows their
    iterates without reaching into them. `calls` begins with the attack's check of the model and
    ends with the verification of each rule's examples.
    """

    def __init__(self, classifier: Callable):
        self.classifier = classifier
        self.calls = []

    def __call__(self, x):
        tf.numpy_function(lambda x: self.calls.append(np.array(x)), [x], [])
        return self.classifier(x)


def images(count: int, seed: int = 0) -> np.ndarray:
    """Random images; as in MNIST, some pixels are exactly 0 or 1."""
    x = np.random.RandomState(seed).uniform(-0.2, 1.2, (count, *SHAPE))
    return np.clip(x, 0, 1).astype(np.float32)


def hinge(
    model: SmallModel,
    x: np.ndarray,
    labels: np.ndarray,
    confidence: float,
    targeted: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The hinge [N], its gradient with respect to x, and who has fooled the model, in float64."""
    logits, n = model.logits(x), np.arange(len(x))
    others = logits.copy()
    others[n, labels] = -np.inf
    other = others.argmax(axis=1)
    sign = -1 if targeted else 1
    margin = sign * (logits[n, labels] - logits[n, other])
    of_logits = np.zeros_like(logits)
    of_logits[n, labels] += sign
    of_logits[n, other] -= sign
    of_logits *= (margin + confidence > 0)[:, None]
    fooled = margin + confidence < 0
    return np.maximum(margin + confidence, 0), model.gradient(x, of_logits), fooled
