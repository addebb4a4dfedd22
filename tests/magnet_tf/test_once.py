"""A defence asks each model once about a batch, and gets the same answers."""

import keras
import numpy as np

import magnet_tf
from magnet_tf import once
from magnet_tf.arrays import in_batches
from magnet_tf.outcomes import Outcome

X = np.random.RandomState(0).uniform(size=(5, 6, 6, 1)).astype(np.float32)


class Counting(keras.Layer):
    """Counts how often it is applied."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.count = layer, 0

    def call(self, x, training=None):
        self.count += 1
        return self.layer(x)


def counting_models() -> tuple[Counting, Counting]:
    """An autoencoder and a classifier."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Flatten(), keras.layers.Dense(3)]
    autoencoder = keras.layers.Conv2D(1, 3, padding="same")
    return Counting(autoencoder), Counting(keras.Sequential(layers))


def test_each_model_is_applied_once_to_a_batch():
    autoencoder, classifier = counting_models()
    parts = {
        "I": magnet_tf.ReconstructionDetector(autoencoder, p=1),
        "JSD10": magnet_tf.DivergenceDetector(autoencoder, classifier, 10),
        "JSD40": magnet_tf.DivergenceDetector(autoencoder, classifier, 40),
    }
    reformer = magnet_tf.Reformer(autoencoder)
    magnet = magnet_tf.MagNet(classifier, reformer, parts)
    magnet.calibrate(X, dict.fromkeys(parts, 0.5))
    autoencoder.count = classifier.count = 0
    verdict = magnet.judge(X)
    assert (autoencoder.count, classifier.count) == (1, 2)  # of x and of the healed x
    for name, part in parts.items():
        np.testing.assert_array_equal(verdict.marks[name], part.mark(X))
    apart = in_batches(classifier, reformer.heal(X))
    np.testing.assert_array_equal(verdict.logits, apart)


def test_defences_ask_a_model_that_they_share_once():
    autoencoder, classifier = counting_models()
    parts = {
        "I": magnet_tf.ReconstructionDetector(autoencoder, p=1),
        "JSD10": magnet_tf.DivergenceDetector(autoencoder, classifier, 10),
    }
    magnets = []
    for names in (["I"], ["I", "JSD10"]):
        own = {name: parts[name] for name in names}
        magnets.append(
            magnet_tf.MagNet(classifier, magnet_tf.Reformer(autoencoder), own)
        )
        magnets[-1].calibrate(X, dict.fromkeys(own, 0.5))
    autoencoder.count = classifier.count = 0
    labels = np.arange(5) % 3
    both = Outcome.of_each(magnets, X, labels)
    assert (autoencoder.count, classifier.count) == (1, 3)  # once more, undefended
    for magnet, outcome in zip(magnets, both, strict=True):
        alone = Outcome.of(magnet, X, labels)
        assert outcome.marks.keys() == alone.marks.keys()
        for one, other in zip(
            (
                outcome.right,
                outcome.right_healed,
                outcome.passed,
                *outcome.marks.values(),
            ),
            (alone.right, alone.right_healed, alone.passed, *alone.marks.values()),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)


def test_another_batch_is_another_question():
    def twice(x, training):
        return 2 * x

    first, second = keras.ops.ones((2, 1)), keras.ops.zeros((2, 1))
    with once.shared():
        assert once.applied(twice, first) is once.applied(twice, first)
        np.testing.assert_array_equal(once.applied(twice, second), np.zeros((2, 1)))
    assert once.applied(twice, first) is not once.applied(twice, first)
