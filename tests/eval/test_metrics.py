"""Accuracies by hand, and intervals against SciPy."""

import numpy as np
import pytest
from scipy.stats import binomtest

from eval.metrics import accuracies, mean_over, wilson_interval

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
    result = accuracies(*TRUTH.T, attacked=False)
    assert result == pytest.approx((0.4, 0.3, 0.5, 0.4))
    assert result._fields == ("none", "detector", "reformer", "both")


def test_accuracies_under_attack():
    """An example that is rejected is handled rightly, whatever it is taken for."""
    assert accuracies(*TRUTH.T, attacked=True) == pytest.approx((0.4, 0.6, 0.5, 0.7))


@pytest.mark.parametrize(
    ("attacked", "expected"), [(False, (1, 0, 1, 0)), (True, (1, 1, 1, 1))]
)
def test_where_everything_is_rejected(attacked, expected):
    yes, no = np.ones(5, bool), np.zeros(5, bool)
    assert accuracies(yes, yes, no, attacked) == expected


@pytest.mark.parametrize(
    ("successes", "count"),
    [(0, 10), (10, 10), (1, 1), (1, 3), (37, 50), (500, 1000), (999, 1000)],
)
def test_the_interval_is_scipys(successes, count):
    expected = binomtest(successes, count).proportion_ci(0.95, method="wilson")
    result = wilson_interval(successes / count, count)
    assert result == pytest.approx((expected.low, expected.high), abs=1e-7)
    assert 0 <= result[0] < result[1] <= 1


def test_the_mean_is_over_the_chosen():
    values, chosen = np.array([1.0, 2.0, 6.0]), np.array([True, False, True])
    assert mean_over(values, chosen) == 3.5
    assert mean_over(values, np.zeros(3, bool)) is None
