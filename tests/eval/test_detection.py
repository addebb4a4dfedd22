"""ROC curves and rates against their definitions, pair by pair."""

import numpy as np
import pytest

from eval import detection

RNG = np.random.default_rng(0)
CLEAN = RNG.integers(0, 30, 200).astype(float)  # with ties
ATTACKED = RNG.integers(10, 50, 70).astype(float)


def test_auroc_counts_pairs():
    pairs = ATTACKED[:, None] - CLEAN
    expected = np.mean(pairs > 0) + np.mean(pairs == 0) / 2
    assert detection.auroc(CLEAN, ATTACKED) == pytest.approx(expected)


def test_auroc_is_the_area_under_the_curve():
    false, true = detection.roc(CLEAN, ATTACKED)
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert (np.diff(false) >= 0).all()
    assert (np.diff(true) >= 0).all()
    assert np.trapezoid(true, false) == pytest.approx(detection.auroc(CLEAN, ATTACKED))


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.05])
def test_true_positive_rate_at_a_drop_rate(rate):
    clean = RNG.permutation(1000) / 1000
    attacked = RNG.random(50) + 0.5
    threshold = sorted(clean)[-int(1000 * rate)]
    expected = np.mean([mark >= threshold for mark in attacked])
    assert detection.true_positive_rate(clean, attacked, rate) == expected


def test_where_no_clean_image_may_be_rejected():
    assert detection.true_positive_rate(CLEAN, CLEAN, 0.001) == 0
    assert detection.true_positive_rate(CLEAN, CLEAN + 100, 0.001) == 1


def test_together_rejects_what_any_detector_rejects():
    clean = {"a": np.arange(10.0), "b": np.arange(10.0)}
    attacked = {"a": np.array([100.0, 0.0, 3.0]), "b": np.array([0.0, 100.0, 2.0])}
    marks = detection.together(attacked, clean)
    np.testing.assert_allclose(marks, [1, 1, 0.3])
    own = detection.together(clean, clean)
    assert detection.true_positive_rate(own, marks, 0.0) == pytest.approx(2 / 3)
