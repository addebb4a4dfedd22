"""The adaptive search does no worse than the exact one, for a fraction of the gradients."""

import numpy as np
import pytest

from attacks import elastic_net
from tests.attacks.small_model import CLASSES, SmallModel, images
from tests.attacks.test_properties import RULES, assert_alike, craft

EXACT = {"max_iterations": 300, "binary_search_steps": 9, "initial_const": 1e-3}


@pytest.fixture(scope="module", params=[1, 2])
def model(request):
    return SmallModel(seed=request.param)


def score(rule: str, result) -> np.ndarray:
    """The distance that a rule minimises, image by image."""
    if rule == "L1":
        return result.l1
    return result.l2**2 + (0.01 * result.l1 if rule == "EN" else 0)


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
    adaptive = craft(rule, model, x, labels, **settings, search="adaptive")
    assert adaptive.success.sum() >= exact.success.sum()
    both = exact.success & adaptive.success
    assert both.sum() >= 10
    assert score(rule, adaptive)[both].mean() <= 1.01 * score(rule, exact)[both].mean()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("confidence", "targeted"), [(0.0, False), (3.0, False), (2.5, True)]
)
def test_result_is_what_it_says(model, rule, confidence, targeted):
    x = images(32)
    labels = (model.logits(x).argmax(axis=1) + targeted) % CLASSES
    result = craft(
        rule,
        model,
        x,
        labels,
        confidence=confidence,
        targeted=targeted,
        search="adaptive",
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


@pytest.mark.parametrize("rule", RULES)
def test_an_image_does_not_depend_on_its_neighbours(model, rule):
    x = images(64)
    labels = model.logits(x).argmax(axis=1)
    together = craft(rule, model, x, labels, search="adaptive", batch_size=64)
    apart = craft(rule, model, x, labels, search="adaptive", batch_size=16)
    assert_alike(together, apart)


@pytest.mark.parametrize("rule", RULES)
def test_a_box_of_another_size_gives_the_same_examples(model, rule):
    x = images(16)
    labels = model.logits(x).argmax(axis=1)
    here = craft(rule, model, x, labels, beta=0.02, search="adaptive")
    there = craft(
        rule,
        lambda images: model((images + 1) / 2),
        2 * x - 1,
        labels,
        beta=0.04,  # ||2d||_2^2 + 2 beta ||2d||_1 = 4 (||d||_2^2 + beta ||d||_1)
        bounds=(-1, 1),
        search="adaptive",
    )
    np.testing.assert_array_equal(here.success, there.success)
    np.testing.assert_allclose(2 * here.l1, there.l1, rtol=0.01)
    np.testing.assert_allclose(2 * here.l2, there.l2, rtol=0.01)


def test_xla_gives_the_same(model):
    x = images(16)
    labels = model.logits(x).argmax(axis=1)
    plain = elastic_net(model, x, labels, search="adaptive")
    xla = elastic_net(model, x, labels, search="adaptive", jit_compile=True)
    for rule, result in plain.items():
        assert_alike(result, xla[rule])


def test_an_unknown_search_is_refused(model):
    with pytest.raises(ValueError, match="'exact' or 'adaptive'"):
        craft("L1", model, images(1), np.array([0]), search="quick")
