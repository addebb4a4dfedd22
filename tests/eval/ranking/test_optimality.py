"""The optimality, against AttackBench's definition by brute force and by hand."""

import numpy as np
import pytest

from eval.ranking.optimality import envelope, optimality, robust_accuracy
from magnet_tf.errors import InputError

INF = np.inf


def brute_force(distances: np.ndarray, nearest: np.ndarray) -> float:
    """The definition, the areas between the curves summed over a fine grid of distances."""
    budgets = np.linspace(0, nearest.max(), 200_001)[:-1]

    def curve(of: np.ndarray) -> np.ndarray:
        return 1 - np.searchsorted(np.sort(of), budgets, side="right") / len(of)

    clean = np.mean(nearest > 0)
    own = np.mean(curve(distances) - curve(nearest))
    return 1 - own / np.mean(clean - curve(nearest))


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_area_between_the_curves(seed):
    rng = np.random.default_rng(seed)
    distances = rng.gamma(3.0, size=(4, 50))
    distances[1, ::7] = INF
    distances[:, 3] = 0  # misclassified from the beginning
    nearest = envelope(distances)
    assert np.isfinite(nearest).all()
    for own in distances:
        expected = brute_force(own, nearest)
        assert optimality(own, nearest) == pytest.approx(expected, abs=1e-4)


def test_by_hand():
    nearest = np.array([1.0, 2.0, 3.0])  # area 2 of 3
    assert optimality(np.array([1.0, 2.0, 3.0]), nearest) == 1
    assert optimality(np.array([2.0, 2.0, 3.0]), nearest) == pytest.approx(2 / 3)
    assert (
        optimality(np.array([1.0, 2.0, 9.0]), nearest) == 1
    )  # beyond the envelope's end
    assert optimality(np.array([1.0, INF, 3.0]), nearest) == pytest.approx(2 / 3)
    assert optimality(np.array([INF, INF, INF]), nearest) == 0


def test_an_image_that_nobody_reaches_counts_against_nobody():
    nearest = np.array([1.0, 3.0, INF])
    assert optimality(nearest, nearest) == 1
    assert optimality(np.array([2.0, 3.0, INF]), nearest) == pytest.approx(0.5)


def test_the_envelope_is_the_least_over_attacks():
    found = envelope(np.array([[1.0, INF, INF], [2.0, 0.5, INF]]))
    np.testing.assert_array_equal(found, [1.0, 0.5, INF])


def test_robust_accuracy_is_the_share_beyond_a_budget():
    shares = robust_accuracy(np.array([1.0, 2.0, INF, 0.0]), np.array([0, 1, 1.5, 9]))
    np.testing.assert_array_equal(shares, [0.75, 0.5, 0.5, 0.25])


@pytest.mark.parametrize(
    ("distances", "nearest", "message"),
    [
        ([1.0, np.nan], [1.0, 2.0], "at least 0"),
        ([-1.0, 2.0], [1.0, 2.0], "at least 0"),
        ([], [], "at least 0"),
        ([1.0, 2.0], [1.0], "as many"),
        ([1.0, 2.0], [1.5, 2.0], "none of them farther"),
        ([INF, INF], [INF, INF], "nothing was found"),
        ([2.0, 2.0], [2.0, 2.0], "at one distance"),
    ],
)
def test_what_has_no_optimality(distances, nearest, message):
    with pytest.raises(InputError, match=message):
        optimality(np.array(distances), np.array(nearest))
