"""Attacks under constraints, and on several classifiers at once."""

import functools

import numpy as np
import pytest
import scipy.optimize
import tensorflow as tf

from attacks import InputError, carlini_wagner_l2, elastic_net, minimum_norm
from tests.attacks.small_model import SHAPE, SmallModel, images

COUNT = 12
FEW = {
    "learning_rate": 0.03,
    "max_iterations": 40,
    "binary_search_steps": 3,
    "initial_const": 1.0,
}
EXACT = {"cw": carlini_wagner_l2, "ead": elastic_net}


def one(results):
    """A result by one rule, whichever attack gave it."""
    return results if not isinstance(results, dict) else results["L1"]


ATTACKS = {
    "cw exact": functools.partial(carlini_wagner_l2, **FEW),
    "ead exact": functools.partial(elastic_net, **FEW),
    "cw primal-dual": functools.partial(
        carlini_wagner_l2, search="primal_dual", gradients=120
    ),
    "ead primal-dual": functools.partial(
        elastic_net, search="primal_dual", gradients=120
    ),
    "least L1": functools.partial(minimum_norm, norm="L1", gradients=120),
}
every_attack = pytest.mark.parametrize("name", ATTACKS)


@pytest.fixture(scope="module")
def model() -> SmallModel:
    return SmallModel()


@pytest.fixture(scope="module")
def attacked(model):
    x = images(COUNT)
    return x, model.logits(x).argmax(axis=1)


def brightness(x):
    """Each half's mean, at most a little above that of an average image: [N, 2]."""
    halves = tf.stack(
        [tf.reduce_mean(of, [1, 2, 3]) for of in tf.split(x, 2, axis=1)], axis=1
    )
    return halves / 0.52 - 1


@pytest.mark.parametrize("norm", ["L2", "L1"])
def test_several_confidences_are_each_by_itself(norm, model, attacked):
    few = {"norm": norm, "gradients": 60, "constraints": brightness}
    several = minimum_norm(model, *attacked, confidence=[0.2, 0.0], **few)
    for confidence, found in zip((0.2, 0.0), several, strict=True):
        alone = minimum_norm(model, *attacked, confidence=confidence, **few)
        np.testing.assert_array_equal(found.adversarial, alone.adversarial)


def holds(x: np.ndarray) -> np.ndarray:
    """Whether `brightness` is satisfied, in NumPy; rounding apart."""
    halves = np.stack([of.mean(axis=(1, 2, 3)) for of in np.split(x, 2, axis=1)], 1)
    return (halves / 0.52 - 1 <= 1e-6).all(axis=1)


@every_attack
def test_what_is_found_fools_and_satisfies(name, model, attacked):
    x, labels = attacked
    result = one(ATTACKS[name](model, x, labels, constraints=brightness))
    wrong = model.logits(result.adversarial).argmax(axis=1) != labels
    assert result.success.sum() >= COUNT // 2
    assert (wrong & holds(result.adversarial))[result.success].all()
    free = one(ATTACKS[name](model, x, labels))
    assert not holds(free.adversarial).all()


@every_attack
def test_what_can_never_hold_finds_nothing(name, model, attacked):
    x, labels = attacked

    def never(of):
        return 1.0 + tf.reduce_sum(of**2, [1, 2, 3])[:, None]

    result = one(ATTACKS[name](model, x, labels, constraints=never))
    assert not result.success.any()
    np.testing.assert_array_equal(result.adversarial, x)


@pytest.mark.parametrize("attack", EXACT.values(), ids=EXACT)
def test_what_always_holds_changes_no_bit_under_the_exact_search(
    attack, model, attacked
):
    x, labels = attacked

    def always(of):
        return -1.0 - tf.reduce_sum(of**2, [1, 2, 3])[:, None]

    free, bound = (
        one(attack(model, x, labels, **FEW, **of))
        for of in ({}, {"constraints": always})
    )
    np.testing.assert_array_equal(free.adversarial, bound.adversarial)
    np.testing.assert_array_equal(free.const, bound.const)


@every_attack
def test_one_classifier_of_several_is_that_classifier(name, model, attacked):
    x, labels = attacked
    alone = one(ATTACKS[name](model, x, labels))
    as_list = one(ATTACKS[name](lambda of: model(of)[:, None], x, labels))
    np.testing.assert_array_equal(alone.adversarial, as_list.adversarial)


@every_attack
def test_several_classifiers_are_all_fooled(name, model, attacked):
    x, _ = attacked
    other = SmallModel(seed=1)
    other.float32 = [of + np.float32(0.02) for of in model.float32]
    other.float64 = [of.astype(np.float64) for of in other.float32]
    labels = model.logits(x).argmax(axis=1)
    agreed = other.logits(x).argmax(axis=1) == labels
    x, labels = x[agreed], labels[agreed]

    def both(of):
        return tf.stack([model(of), other(of)], axis=1)

    result = one(ATTACKS[name](both, x, labels, confidence=0.1))
    assert result.success.sum() >= len(x) // 2
    for each in (model, other):
        logits = each.logits(result.adversarial[result.success])
        n = np.arange(len(logits))
        own = logits[n, labels[result.success]].copy()
        logits[n, labels[result.success]] = -np.inf
        assert (logits.max(axis=1) - own >= 0.1 - 1e-5).all()


# Against an optimum from elsewhere


class Linear:
    """Two classes and a detector, all linear; the detector minds what fools."""

    def __init__(self, seed: int = 0):
        rng = np.random.default_rng(seed)
        pixels = int(np.prod(SHAPE))
        self.w = rng.normal(0, 1, pixels)
        self.a = -0.5 * self.w + 0.6 * rng.normal(0, 1, pixels)
        self.x = rng.uniform(0.3, 0.7, (8, pixels))
        # class 0 by 2, and the detector's mark 0.2 below its threshold
        self.x += ((2 - self.x @ self.w) / (self.w @ self.w))[:, None] * self.w
        self.thresholds = self.x @ self.a + 0.2

    def classifier(self, x):
        score = tf.linalg.matvec(
            tf.reshape(x, [len(x), -1]), tf.constant(self.w, "float32")
        )
        return tf.stack([score, tf.zeros_like(score)], axis=1)

    def detector(self, x):
        """A mark above the mean threshold, which each image has as its own by a shift."""
        mark = tf.linalg.matvec(
            tf.reshape(x, [len(x), -1]), tf.constant(self.a, "float32")
        )
        return mark[:, None] - self.level

    def at(self, index: int) -> "Linear":
        """With the threshold of an image."""
        self.level = np.float32(self.thresholds[index])
        return self

    def least_l2(self, index: int) -> float:
        x = self.x[index]
        found = scipy.optimize.minimize(
            lambda y: ((y - x) ** 2).sum(),
            x,
            jac=lambda y: 2 * (y - x),
            bounds=[(0, 1)] * len(x),
            constraints=[
                {
                    "type": "ineq",
                    "fun": lambda y: -y @ self.w,
                    "jac": lambda y: -self.w,
                },
                {
                    "type": "ineq",
                    "fun": lambda y: self.thresholds[index] - y @ self.a,
                    "jac": lambda y: -self.a,
                },
            ],
            method="SLSQP",
            options={"ftol": 1e-12, "maxiter": 500},
        )
        assert found.success
        return float(np.sqrt(found.fun))

    def least_l1(self, index: int) -> float:
        """As a linear programme, of what is added to each pixel and what is taken away."""
        x = self.x[index]
        found = scipy.optimize.linprog(
            np.ones(2 * len(x)),
            A_ub=[np.r_[self.w, -self.w], np.r_[self.a, -self.a]],
            b_ub=[-x @ self.w, self.thresholds[index] - x @ self.a],
            bounds=[*((0, 1 - v) for v in x), *((0, v) for v in x)],
        )
        assert found.success
        return float(found.fun)


@pytest.fixture(scope="module")
def linear() -> Linear:
    return Linear()


def test_the_exact_searchs_distance_is_within_two_percent_of_the_optimum(linear):
    of = linear.at(0)
    x = linear.x[0].reshape(1, *SHAPE).astype(np.float32)
    attack = functools.partial(
        carlini_wagner_l2,
        learning_rate=0.02,
        max_iterations=400,
        binary_search_steps=8,
        initial_const=1.0,
    )
    result = attack(of.classifier, x, np.array([0]), constraints=of.detector)
    least = linear.least_l2(0)
    assert result.success.all()
    assert result.l2[0] == pytest.approx(least, rel=0.02)
    free = attack(of.classifier, x, np.array([0]))
    assert free.l2[0] < 0.9 * least  # so the detector counts


@pytest.mark.parametrize("seed", [0, 1, 2, 9])
@pytest.mark.parametrize("norm", ["L2", "L1"])
def test_the_primal_dual_searchs_distance_is_near_the_optimum(norm, seed):
    """Within 2 % by L2, by L1 within 5 %, with the default gradients."""
    linear = Linear(seed)
    inside = (linear.x.min(axis=1) >= 0) & (linear.x.max(axis=1) <= 1)
    index = int(inside.argmax())
    of = linear.at(index)
    x = linear.x[index].reshape(1, *SHAPE).astype(np.float32)
    result = minimum_norm(
        of.classifier, x, np.array([0]), norm=norm, constraints=of.detector
    )
    least = {"L2": linear.least_l2, "L1": linear.least_l1}[norm](index)
    found, most = {"L2": (result.l2, 1.02), "L1": (result.l1, 1.05)}[norm]
    assert 1 - 1e-4 <= found[0] / least <= most, found[0] / least


# Bad input


@pytest.mark.parametrize(
    ("constraints", "said"),
    [
        ("detector", "constraints must be callable"),
        (lambda x: tf.reduce_mean(x, [1, 2, 3]), r"values \[N, J\]"),
        (lambda x: tf.zeros([3, 1]) + tf.reduce_sum(x), r"values \[N, J\]"),
        (lambda x: tf.reduce_mean(x, [1, 2])[:, :1] * np.nan, "NaN"),
        (lambda x: np.asarray(x).mean(axis=(1, 2)), "cannot be differentiated"),
    ],
)
def test_what_are_no_constraints_is_one_sentence(model, attacked, constraints, said):
    with pytest.raises((InputError, TypeError), match=said):
        carlini_wagner_l2(model, *attacked, **FEW, constraints=constraints)
