"""What an attacker who knows the defence differentiates."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax

from magnet_tf import IdentityReformer, MagNet, NotCalibratedError, datasets, zoo
from magnet_tf.detectors import log_closeness


@pytest.fixture(scope="module")
def magnet():
    return zoo.load("digits", "D+JSD")


@pytest.fixture(scope="module")
def images():
    """Digits from clean to noisy, on both sides of the thresholds."""
    x = datasets.load("digits").test.images[:64]
    noise = np.random.RandomState(0).uniform(0, 1, x.shape)
    levels = np.linspace(0, 0.5, 64)[:, None, None, None]
    return np.clip(x + levels * noise, 0, 1).astype(np.float32)


def test_healed_logits_are_the_verdicts(magnet, images):
    expected = magnet.judge(images).logits
    np.testing.assert_allclose(magnet.healed_logits(images), expected, atol=1e-5)
    tensor = magnet.healed_logits(tf.constant(images))
    np.testing.assert_allclose(tensor, expected, atol=1e-4)


def test_constraints_hold_exactly_where_the_detectors_pass(magnet, images):
    found = magnet.constraints(images)
    verdict = magnet.judge(images)
    below = [
        verdict.marks[name] < np.float32(threshold)
        for name, threshold in magnet.thresholds.items()
    ]
    np.testing.assert_array_equal(found <= 0, np.transpose(below))
    np.testing.assert_array_equal((found <= 0).all(axis=1), verdict.passed)
    assert 0 < verdict.passed.sum() < len(images)


def test_a_mark_at_its_threshold_does_not_pass(magnet, images):
    """Whatever the rounding: thresholds are set to marks, one after the other."""
    images = images[::4]
    marks = magnet.judge(images).marks
    before = magnet.thresholds
    try:
        for row in range(len(images)):
            at = {name: float(own[row]) for name, own in marks.items()}
            magnet.set_thresholds(at)
            assert (magnet.constraints(images)[row] > 0).all()
            above = {n: float(np.nextafter(np.float32(t), 1)) for n, t in at.items()}
            magnet.set_thresholds(above)
            assert (magnet.constraints(images)[row] <= 0).all()
    finally:
        magnet.set_thresholds(before)


def test_reconstruction_is_relative_to_its_threshold(magnet, images):
    found = magnet.constraints(images)
    marks, thresholds = magnet.judge(images).marks, magnet.thresholds
    for column, name in enumerate(("I", "II")):
        expected = marks[name] / thresholds[name] - 1
        np.testing.assert_allclose(found[:, column], expected, rtol=1e-4, atol=1e-5)


def test_closeness_is_what_the_divergence_leaves():
    random = np.random.RandomState(1)
    p, q = random.normal(0, 8, (2, 50, 10))
    found = log_closeness(tf.constant(p), tf.constant(q), 2.0).numpy()
    divergence = jensenshannon(softmax(p / 2, 1), softmax(q / 2, 1), axis=1) ** 2
    np.testing.assert_allclose(found, np.log1p(-divergence / np.log(2)), rtol=1e-6)
    same = log_closeness(tf.constant(p), tf.constant(p), 2.0).numpy()
    np.testing.assert_allclose(same, 0, atol=1e-12)


def test_certain_opinions_that_differ_have_a_gradient():
    """The mark itself has none: it is log 2 to the last bit."""
    p = tf.constant([[4000.0, 0.0]])
    q = tf.Variable([[0.0, 4000.0]])
    with tf.GradientTape() as tape:
        closeness = log_closeness(p, q, 10.0)
    (gradient,) = tape.gradient(closeness, [q])
    assert np.isfinite(closeness).all() and closeness[0] < -300
    np.testing.assert_allclose(gradient, [[0.05, -0.05]], rtol=5e-3)


def test_gradients_reach_the_image(magnet, images):
    x = tf.constant(images[:8])
    with tf.GradientTape() as tape:
        tape.watch(x)
        worst = tf.reduce_sum(tf.reduce_max(magnet.constraints(x), axis=1))
    gradient = tape.gradient(worst, x).numpy()
    assert np.isfinite(gradient).all() and (np.abs(gradient).max((1, 2, 3)) > 0).all()


def test_infinite_thresholds_are_never_met(magnet, images):
    before = magnet.thresholds
    try:
        magnet.set_thresholds(dict.fromkeys(before, np.inf))
        found = magnet.constraints(images)
        assert np.isfinite(found).all() and (found <= 0).all()
    finally:
        magnet.set_thresholds(before)


def test_a_detector_of_ones_own_goes_by_its_mark(images):
    class Brightness(keras.layers.Layer):
        def mark(self, x):
            return keras.ops.mean(x, axis=(1, 2, 3))

    classifier = zoo.load("digits", "D").classifier
    magnet = MagNet(classifier, IdentityReformer(), {"bright": Brightness()})
    with pytest.raises(NotCalibratedError, match="no thresholds yet"):
        magnet.constraints(images)
    magnet.set_thresholds({"bright": 0.25})
    expected = images.mean((1, 2, 3))[:, None] / 0.25 - 1
    np.testing.assert_allclose(magnet.constraints(images), expected, atol=1e-5)


def test_without_detectors_there_are_no_constraints(images):
    classifier = zoo.load("digits", "D").classifier
    magnet = MagNet(classifier, IdentityReformer(), {})
    assert magnet.constraints(images).shape == (len(images), 0)
