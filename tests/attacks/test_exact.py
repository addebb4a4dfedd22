"""The search over c, step by step, against the originals' rules written out for one image."""

import numpy as np
import pytest

from attacks.exact import next_const, search_const


def model_of_search(successes, scores, initial_const):
    """The rules for one image: lists over steps -> (c of each step, best step or None)."""
    c, lower, upper, best = initial_const, 0.0, None, None
    tried = []
    for step, (success, score) in enumerate(zip(successes, scores)):
        if len(successes) >= 10 and step == len(successes) - 1:
            c = 1e10 if upper is None else upper
        tried.append(c)
        if success:
            upper = c if upper is None or c < upper else upper
            if best is None or score < scores[best]:
                best = step
        elif c > lower:
            lower = c
        c = 10 * c if upper is None else (lower + upper) / 2
    return tried, best


def run(successes, scores, initial_const):
    """`search_const` on made-up patterns [steps, N]; returns the c [steps, N] and the result.

    Step s returns, for image i, an example that is s + 1 everywhere, in an image of 0.
    """
    steps, count = successes.shape
    images = np.zeros((count, 2, 2, 1), np.float32)
    tried = []

    def minimize(const):
        step = len(tried)
        tried.append(const)
        score = np.where(successes[step], scores[step], np.inf)
        return {"rule": (score, images + step + 1)}

    result = search_const(minimize, images, initial_const, steps)
    assert list(result) == ["rule"]
    return np.array(tried), result["rule"]


@pytest.mark.parametrize("steps", [1, 2, 6, 9, 10, 12])
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_random_patterns(steps, rate):
    random = np.random.RandomState(steps)
    successes = random.uniform(size=(steps, 200)) < rate
    scores = random.uniform(1, 2, (steps, 200))
    successes[:, 0], successes[:, 1] = False, True
    tried, result = run(successes, scores, 1e-3)
    for i in range(200):
        expected, best = model_of_search(
            successes[:, i].tolist(), scores[:, i].tolist(), 1e-3
        )
        np.testing.assert_allclose(tried[:, i], expected, rtol=1e-12)
        assert result.success[i] == (best is not None)
        if best is None:
            assert result.const[i] == tried[-1, i]
            assert not result.adversarial[i].any() and result.l2[i] == 0
        else:
            assert result.const[i] == tried[best, i]
            assert (result.adversarial[i] == best + 1).all()
            np.testing.assert_allclose(result.l1[i], 4 * (best + 1))


def test_consts_of_a_known_search():
    """Fooled at 0.1 and above: tenfold up to there, then bisected toward the least such c."""
    scores = np.ones((6, 1))
    successes = np.array([[False], [False], [True], [False], [False], [True]])
    tried, result = run(successes, scores, 1e-3)
    np.testing.assert_allclose(tried[:, 0], [1e-3, 1e-2, 1e-1, 0.055, 0.0775, 0.08875])
    assert result.const[0] == pytest.approx(0.1)  # of equal scores the first is kept


def test_tenth_step_runs_at_the_least_c_that_succeeded():
    successes = np.array([[False, False]] * 3 + [[True, False]] + [[False, False]] * 6)
    tried, _ = run(successes, np.ones((10, 2)), 1e-3)
    assert tried[-1, 0] == pytest.approx(1.0)
    assert tried[-1, 1] == 1e10


def test_nine_steps_bisect_to_the_end():
    successes = np.array([[False]] * 3 + [[True]] + [[False]] * 5)
    tried, _ = run(successes, np.ones((9, 1)), 1e-3)
    assert tried[-1, 0] == pytest.approx(1 - 0.9 / 32)


def test_any_rule_that_succeeds_is_a_success():
    images = np.zeros((2, 1, 1, 1), np.float32)
    tried = []

    def minimize(const):
        tried.append(const)
        fails, succeeds = np.array([np.inf, np.inf]), np.array([1.0, np.inf])
        return {"A": (fails, images), "B": (succeeds, images + 1)}

    result = search_const(minimize, images, 1.0, 2)
    np.testing.assert_allclose(tried[1], [0.5, 10.0])
    assert not result["A"].success.any()
    np.testing.assert_array_equal(result["B"].success, [True, False])


def test_next_const_keeps_the_tighter_bounds():
    """A success above the upper bound and a failure below the lower one change neither."""
    const, lower, upper = next_const(
        np.array([5.0, 1.0]),
        np.array([2.0, 2.0]),
        np.array([4.0, 4.0]),
        np.array([True, False]),
    )
    np.testing.assert_allclose(lower, [2, 2])
    np.testing.assert_allclose(upper, [4, 4])
    np.testing.assert_allclose(const, [3, 3])
