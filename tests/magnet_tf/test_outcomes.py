"""What a defence made of images, and its accuracies, by hand."""

import keras
import numpy as np
import pytest

from magnet_tf import MagNet
from magnet_tf.outcomes import Outcome

# ten inputs: the classifier is right; is right of the healed image; detectors pass it
TRUTH = np.array(
    [
        [1, 1, 1],
        [1, 1, 1],
        [1, 0, 1],
        [1, 1, 0],
        [0, 1, 1],
        [0, 1, 1],
        [0, 0, 1],
        [0, 0, 1],
        [0, 0, 0],
        [0, 0, 0],
    ],
    dtype=bool,
)


def test_accuracies_of_clean_images():
    """A clean image that is rejected is handled wrongly."""
    result = Outcome(*TRUTH.T, {}).accuracies(attacked=False)
    assert result == pytest.approx((0.4, 0.3, 0.5, 0.4))
    assert result._fields == ("none", "detector", "reformer", "both")


def test_accuracies_under_attack():
    """An example that is rejected is handled rightly, whatever it is taken for."""
    result = Outcome(*TRUTH.T, {}).accuracies(attacked=True)
    assert result == pytest.approx((0.4, 0.6, 0.5, 0.7))


@pytest.mark.parametrize(
    ("attacked", "expected"), [(False, (1, 0, 1, 0)), (True, (1, 1, 1, 1))]
)
def test_where_everything_is_rejected(attacked, expected):
    yes, no = np.ones(5, bool), np.zeros(5, bool)
    assert Outcome(yes, yes, no, {}).accuracies(attacked) == expected


class Darkness:
    def mark(self, x):
        return keras.ops.mean(1 - x, axis=(1, 2, 3))


class Inverting:
    def heal(self, x):
        return 1 - x


def test_the_outcome_of_images():
    """Class 1 is bright; healing inverts, and what is dark does not pass."""
    classifier = keras.Sequential(
        [
            keras.layers.Input((2, 2, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(2, "linear", False),
        ]
    )
    classifier.set_weights([np.array([[0.0, 1]] * 4) - [[0.5, 0]]])
    magnet = MagNet(classifier, Inverting(), {"darkness": Darkness()})
    magnet.set_thresholds({"darkness": 0.5})
    images = np.float32([0.9, 0.2, 0.7])[:, None, None, None] * np.ones((2, 2, 1), "f")
    outcome = Outcome.of(magnet, images, np.array([1, 1, 0]))
    assert outcome.right.tolist() == [True, True, False]
    np.testing.assert_allclose(outcome.marks["darkness"], [0.1, 0.8, 0.3], rtol=1e-6)
    assert outcome.passed.tolist() == [True, False, True]
    assert outcome.right_healed.tolist() == [True, True, False]
