"""Orthogonal projected gradient descent, against its formulas and an exact solution."""

import numpy as np
import pytest
import tensorflow as tf

from attacks import InputError, InputTypeError, orthogonal_pgd
from attacks.orthogonal_pgd import orthogonal

SHAPE = (4, 4, 1)
COUNT = 5


def linear(x):
    """Two classes by the first pixel: the margin is its distance from 0.6, times 3."""
    of = 3 * (0.6 - x[:, 0, 0, 0])
    return tf.stack([of, tf.zeros_like(of)], axis=1)


def second_pixel(x):
    """Holds where the second pixel is at least 0.7."""
    return (0.7 - x[:, 0, 1, 0])[:, None]


@pytest.fixture
def grey():
    return np.full((COUNT, *SHAPE), 0.5, np.float32), np.zeros(COUNT, np.int64)


NEAREST = np.hypot(0.1, 0.2)  # along the first pixel and the second, and nothing else


def test_a_ball_that_is_hardly_large_enough_holds_an_example(grey):
    result = orthogonal_pgd(
        linear, *grey, epsilon=1.05 * NEAREST, constraints=second_pixel
    )
    assert result.success.all()
    assert NEAREST - 1e-6 <= result.l2.min() <= result.l2.max() <= 1.05 * NEAREST + 1e-6


def test_no_ball_that_is_too_small_holds_an_example(grey):
    result = orthogonal_pgd(
        linear, *grey, epsilon=0.99 * NEAREST, constraints=second_pixel
    )
    assert not result.success.any()
    np.testing.assert_array_equal(result.adversarial, grey[0])


def test_several_radii_are_one_after_the_other(grey):
    several = orthogonal_pgd(
        linear, *grey, epsilon=[0.05, 0.3], constraints=second_pixel
    )
    assert [of.success.all() for of in several] == [False, True]
    alone = orthogonal_pgd(linear, *grey, epsilon=0.3, constraints=second_pixel)
    np.testing.assert_array_equal(several[1].adversarial, alone.adversarial)


@pytest.mark.parametrize("bounds", [(0.0, 1.0), (-0.5, 0.5), (0.0, 255.0)])
def test_the_radius_is_of_images_between_0_and_1(bounds, grey):
    low, high = bounds
    x, labels = low + (high - low) * grey[0], grey[1]

    def unit(of):
        return (of - low) / (high - low)

    result = orthogonal_pgd(
        lambda of: linear(unit(of)),
        x,
        labels,
        epsilon=0.3,
        bounds=bounds,
        constraints=lambda of: second_pixel(unit(of)),
    )
    assert result.success.all()
    assert result.l2.max() <= 0.3 * (high - low) * (1 + 1e-5)
    assert low <= result.adversarial.min() and result.adversarial.max() <= high


def test_without_constraints_it_is_projected_gradient_descent(grey):
    """Straight along the first pixel, the only one with a gradient."""
    result = orthogonal_pgd(linear, *grey, epsilon=0.2, steps=50)
    moved = result.adversarial - grey[0]
    assert result.success.all() and moved[:, 0, 0, 0].min() > 0.1
    moved[:, 0, 0, 0] = 0
    assert not moved.any()


def test_targeted(grey):
    x, labels = grey
    result = orthogonal_pgd(linear, x, labels + 1, epsilon=0.2, targeted=True)
    assert result.success.all() and result.adversarial[:, 0, 0, 0].min() > 0.6


def test_the_part_of_a_gradient_that_leaves_the_other_loss():
    random = np.random.default_rng(0)
    one, two = random.normal(size=(2, 3, *SHAPE)).astype(np.float32)
    left = orthogonal(tf.constant(one), tf.constant(two)).numpy()
    for mine, gradient, other in zip(left, one, two):
        unit = other / np.linalg.norm(other)
        np.testing.assert_allclose(
            mine, gradient - (gradient * unit).sum() * unit, atol=1e-5
        )
    zero = orthogonal(tf.constant(one), tf.zeros_like(one)).numpy()
    np.testing.assert_array_equal(zero, one)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"epsilon": 0.0}, InputError, "epsilon must be finite and above 0"),
        ({"epsilon": [1.0, float("nan")]}, InputError, "epsilon must be finite"),
        ({"epsilon": "far"}, InputTypeError, "epsilon must be finite"),
        ({"epsilon": []}, InputError, "epsilon must be a number or some numbers"),
        ({"epsilon": 1.0, "steps": 0}, InputError, "steps must be a whole number"),
        (
            {"epsilon": 1.0, "steps": 1.5},
            InputTypeError,
            "steps must be a whole number",
        ),
    ],
)
def test_bad_settings_are_one_sentence(settings, error, message, grey):
    with pytest.raises(error, match=message):
        orthogonal_pgd(linear, *grey, **settings)
