"""Minimum-norm attacks: no larger distance than the exact search's, for fewer gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from attacks import InputError, carlini_wagner_l2, elastic_net, minimum_norm
from tests.attacks.small_model import CLASSES, SHAPE, SmallModel, Spy, images
from tests.attacks.test_properties import RULES, assert_alike, craft

EXACT = {"max_iterations": 300, "binary_search_steps": 9, "initial_const": 1e-3}


@pytest.fixture(scope="module")
def model():
    return SmallModel()


either_model = pytest.mark.parametrize("model", [SmallModel(1), SmallModel(2)])


def assert_same(result, expected) -> None:
    for one, other in zip(result, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def score(rule: str, result) -> np.ndarray:
    """The distance that a rule minimises, image by image."""
    if rule == "L1":
        return result.l1
    return result.l2**2 + (0.01 * result.l1 if rule == "EN" else 0)


@either_model
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("confidence", "targeted"), [(0.0, False), (1.0, False), (0.0, True), (1.0, True)]
)
def test_no_lower_success_and_no_larger_distance(model, rule, confidence, targeted):
    x = images(32)
    labels = model.logits(x).argmax(axis=1)
    if targeted:
        labels = (labels + 1) % CLASSES
    settings = {"confidence": confidence, "targeted": targeted}
    exact = craft(rule, model, x, labels, **settings, **EXACT)
    dual = minimum_norm(model, x, labels, norm=rule, **settings)
    assert dual.success.sum() >= exact.success.sum()
    both = exact.success & dual.success
    assert both.sum() >= 10
    assert score(rule, dual)[both].mean() <= 1.01 * score(rule, exact)[both].mean()


@either_model
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("confidence", "targeted"), [(0.0, False), (3.0, False), (2.5, True)]
)
def test_result_is_what_it_says(model, rule, confidence, targeted):
    x = images(32)
    labels = (model.logits(x).argmax(axis=1) + targeted) % CLASSES
    result = minimum_norm(
        model, x, labels, norm=rule, confidence=confidence, targeted=targeted
    )
    success, n = result.success, np.arange(len(x))
    assert success.any()
    assert result.adversarial.min() >= 0
    assert result.adversarial.max() <= 1
    np.testing.assert_array_equal(result.adversarial[~success], x[~success])
    logits = model.logits(result.adversarial.astype(np.float64))
    others = logits.copy()
    others[n, labels] = -np.inf
    lead = (others.max(axis=1) - logits[n, labels]) * (-1 if targeted else 1)
    assert (lead[success] >= confidence - 1e-4).all()


class Convolutional(keras.Model):
    """Random convolutions, with logits as far apart as a trained classifier's."""

    def __init__(self):
        super().__init__()
        random = np.random.RandomState(3)
        self.kernels = [
            tf.constant(random.normal(0, scale, shape), tf.float32)
            for scale, shape in ((0.4, (3, 3, 1, 8)), (0.2, (3, 3, 8, 8)))
        ]
        self.dense = tf.constant(random.normal(0, 1.5, (32, CLASSES)), tf.float32)

    def call(self, x):
        for kernel in self.kernels:
            x = tf.nn.elu(tf.nn.conv2d(x - 0.3, kernel, 1, "VALID"))
        return 8 * tf.reshape(x, [-1, 32]) @ self.dense


@pytest.mark.slow
@pytest.mark.parametrize("targeted", [False, True])
def test_agreement_up_to_large_confidences(targeted):
    model, x = Convolutional(), images(32)
    labels = np.asarray(model(x)).argmax(axis=1)
    if targeted:
        labels = (labels + 1) % CLASSES
    confidences = [0.0, 40.0]
    few = EXACT | {"max_iterations": 150, "targeted": targeted}
    cw = carlini_wagner_l2(model, x, labels, confidence=confidences, **few)
    ead = elastic_net(model, x, labels, confidence=confidences, **few)
    for confidence, l2, en_and_l1 in zip(confidences, cw, ead, strict=True):
        settings = {"confidence": confidence, "targeted": targeted}
        for rule, exact in {"L2": l2, **en_and_l1}.items():
            dual = minimum_norm(model, x, labels, norm=rule, **settings)
            assert dual.success.sum() >= exact.success.sum() >= 10
            both = exact.success & dual.success
            least, found = score(rule, exact)[both], score(rule, dual)[both]
            assert found.mean() <= 1.01 * least.mean()


SWEPT = (2.0, 0.0, 1.0, 0.0)  # in any order, and one twice


@either_model
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("targeted", [False, True])
def test_a_sweep_finds_what_separate_calls_find(model, rule, targeted):
    x = images(32)
    labels = (model.logits(x).argmax(axis=1) + targeted) % CLASSES
    settings = {"norm": rule, "targeted": targeted}
    found = minimum_norm(model, x, labels, confidence=SWEPT, **settings)
    assert len(found) == len(SWEPT)
    for kappa, result in zip(SWEPT, found, strict=True):
        alone = minimum_norm(model, x, labels, confidence=kappa, **settings)
        assert result.success.sum() >= alone.success.sum()
        both = result.success & alone.success
        swept, separate = score(rule, result)[both], score(rule, alone)[both]
        # A targeted sweep has one lane, where separate calls have three passes.
        assert swept.mean() <= (1.05 if targeted else 1.025) * separate.mean()
        logits, n = model.logits(result.adversarial.astype(np.float64)), range(len(x))
        others = logits.copy()
        others[n, labels] = -np.inf
        lead = (others.max(axis=1) - logits[n, labels]) * (-1 if targeted else 1)
        assert (lead[result.success] >= kappa - 1e-4).all()


def test_a_sweep_of_one_is_a_list_of_one(model):
    x = images(16)
    labels = model.logits(x).argmax(axis=1)
    (swept,) = minimum_norm(model, x, labels, confidence=[1.0])
    assert_same(swept, minimum_norm(model, x, labels, confidence=1.0))


def test_nothing_is_traced_after_the_first_chunk(monkeypatch):
    """Nor in a second call for a Keras model, whose compiled loops are kept."""
    traced = []
    keras_model = keras.Sequential(
        [keras.layers.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(CLASSES)]
    )
    original = keras.Sequential.call

    def call(self, x, *args, **kwargs):
        if not tf.executing_eagerly():
            traced.append(x.shape)
        return original(self, x, *args, **kwargs)

    monkeypatch.setattr(keras.Sequential, "call", call)
    x = images(80)
    labels = np.asarray(keras_model(x)).argmax(axis=1)
    for confidence in (0.0, [0.0, 1.0, 2.0]):
        settings = {"norm": "L1", "confidence": confidence, "batch_size": 16}
        minimum_norm(keras_model, x[:16], labels[:16], **settings)
        before = len(traced)
        minimum_norm(keras_model, x, labels, **settings)
        assert len(traced) == before > 0


@pytest.mark.parametrize("rule", RULES)
def test_an_image_does_not_depend_on_its_neighbours(model, rule):
    x = images(64)
    labels = model.logits(x).argmax(axis=1)
    together, apart = (
        minimum_norm(model, x, labels, norm=rule, batch_size=size) for size in (64, 16)
    )
    assert_alike(together, apart)


def test_the_batch_size_changes_no_bit():
    """Also where a batch is no multiple of what a register holds."""
    keras.utils.set_random_seed(1)
    spread = keras.initializers.RandomNormal(stddev=1.0)
    model = keras.Sequential(
        [
            keras.layers.Input((4, 4, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(16, activation="relu"),
            keras.layers.Dense(5, kernel_initializer=spread),
        ]
    )
    x = np.random.RandomState(0).uniform(size=(34, 4, 4, 3)).astype(np.float32)
    labels = model.predict(x, verbose=0).argmax(axis=1)
    together, by_seven, alone = (
        minimum_norm(model, x, labels, norm="L1", batch_size=size)
        for size in (64, 7, 1)
    )
    assert together.success.all()
    assert_same(together, by_seven)
    assert_same(together, alone)


@pytest.mark.parametrize("rule", RULES)
def test_a_box_of_another_size_gives_the_same_examples(model, rule):
    x = images(16)
    labels = model.logits(x).argmax(axis=1)
    here = minimum_norm(
        model, x, labels, norm=rule, beta=0.02 if rule == "EN" else None
    )
    there = minimum_norm(
        lambda images: model((images + 1) / 2),
        2 * x - 1,
        labels,
        norm=rule,
        # ||2d||_2^2 + 2 beta ||2d||_1 = 4 (||d||_2^2 + beta ||d||_1)
        beta=0.04 if rule == "EN" else None,
        bounds=(-1, 1),
    )
    np.testing.assert_array_equal(here.success, there.success)
    np.testing.assert_allclose(2 * here.l1, there.l1, rtol=0.01)
    np.testing.assert_allclose(2 * here.l2, there.l2, rtol=0.01)


@pytest.mark.parametrize("rule", RULES)
def test_xla_gives_the_same(model, rule):
    x = images(16)
    labels = model.logits(x).argmax(axis=1)
    plain, xla = (
        minimum_norm(model, x, labels, norm=rule, jit_compile=compiled)
        for compiled in (False, True)
    )
    assert_alike(plain, xla)


@pytest.mark.parametrize(("rule", "gradients"), [("L2", 300), ("EN", 300), ("L1", 450)])
def test_the_default_budget_and_half_of_it(model, rule, gradients):
    """Counted by a classifier that says how often it is asked for a gradient's image."""
    x = images(16)
    labels = model.logits(x).argmax(axis=1)
    taken = {}
    for budget in (None, gradients, gradients // 2, 6):
        spy = Spy(model)
        found = minimum_norm(spy, x, labels, norm=rule, gradients=budget)
        rules = 2 if rule == "L1" else 1
        taken[budget] = len(spy.calls) - 2 - rules  # checks, clean logits, verification
        assert found.adversarial.shape == x.shape
    assert taken[None] == taken[gradients] == gradients
    assert 0.9 * (gradients // 2) <= taken[gradients // 2] <= gradients // 2
    assert taken[6] <= 6


def test_a_sweep_takes_a_budget(model):
    x = images(16)
    labels = model.logits(x).argmax(axis=1)
    full, half = (
        minimum_norm(model, x, labels, norm="L1", confidence=SWEPT, gradients=gradients)
        for gradients in (None, 225)
    )
    for one, other in zip(full, half, strict=True):
        assert other.success.all()
        assert other.l1.mean() == pytest.approx(one.l1.mean(), rel=0.1)


def test_carlini_wagner_under_the_primal_dual_search_is_the_least_l2(model):
    x = images(16)
    labels = model.logits(x).argmax(axis=1)
    for confidence in (1.0, [0.0, 1.0]):
        job = {"confidence": confidence}
        found = carlini_wagner_l2(model, x, labels, search="primal_dual", **job)
        expected = minimum_norm(model, x, labels, norm="L2", **job)
        if confidence == 1.0:
            found, expected = [found], [expected]
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"norm": "Linf"}, "^norm must be 'L1', 'L2' or 'EN', got 'Linf'"),
        ({"beta": 0.1}, "^beta must be left out with norm='L2'"),
        ({"norm": "EN", "beta": -0.1}, "^beta must be finite and at least 0"),
        ({"norm": "L1", "gradients": 5}, "^gradients must be at least 6.* got 5"),
        ({"gradients": 0}, "^gradients must be a whole number above 0"),
        ({"gradients": 1.5}, "^gradients must be a whole number"),
    ],
)
def test_a_setting_is_never_ignored(model, settings, message):
    with pytest.raises(InputError, match=message):
        minimum_norm(model, images(1), np.array([0]), **settings)
