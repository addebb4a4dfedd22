"""Intervals against SciPy, and means."""

import numpy as np
import pytest
from scipy.stats import binomtest

from eval.metrics import mean_over, wilson_interval


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
