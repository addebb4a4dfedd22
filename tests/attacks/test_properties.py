"""What holds of every attack's result, whatever the algorithm inside."""

import numpy as np
import pytest

from attacks import carlini_wagner_l2, elastic_net
from tests.attacks.small_model import CLASSES, SmallModel, images

RULES = ["L2", "EN", "L1"]
QUICK = {"max_iterations": 60, "binary_search_steps": 5, "initial_const": 0.1}


def craft(rule, classifier, x, labels, **settings):
    if settings.get("search") != "primal_dual":
        settings = QUICK | ({"learning_rate": 0.05} if rule == "L2" else {}) | settings
    if rule == "L2":
        settings.pop("beta", None)
        return carlini_wagner_l2(classifier, x, labels, **settings)
    return elastic_net(classifier, x, labels, **settings)[rule]


@pytest.fixture(scope="module")
def model():
    return SmallModel()


@pytest.fixture(scope="module")
def victims(model):
    x = images(64)
    return x, model.logits(x).argmax(axis=1)


def assert_alike(one, other):
    """The same successes, and distances within 1 %."""
    np.testing.assert_array_equal(one.success, other.success)
    for name in ("l1", "l2", "linf"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=0.01)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("confidence", "targeted"), [(0.0, False), (3.0, False), (2.5, True)]
)
def test_result_is_what_it_says(model, victims, rule, confidence, targeted):
    x, labels = victims
    if targeted:
        labels = (labels + 1) % CLASSES
    result = craft(rule, model, x, labels, confidence=confidence, targeted=targeted)
    n, success = np.arange(len(x)), result.success
    assert success.sum() >= 5
    assert (~success).sum() >= 5 or not confidence  # failed images are looked at, too

    assert result.adversarial.dtype == np.float32
    assert result.adversarial.min() >= 0 and result.adversarial.max() <= 1
    np.testing.assert_array_equal(result.adversarial[~success], x[~success])

    logits = model.logits(result.adversarial.astype(np.float64))
    others = logits.copy()
    others[n, labels] = -np.inf
    lead = (others.max(axis=1) - logits[n, labels]) * (-1 if targeted else 1)
    assert (lead[success] >= confidence - 1e-5).all()

    difference = np.abs(result.adversarial.astype(np.float64) - x).reshape(len(x), -1)
    np.testing.assert_allclose(result.l1, difference.sum(axis=1), rtol=1e-6)
    np.testing.assert_allclose(result.l2, np.linalg.norm(difference, axis=1), rtol=1e-6)
    np.testing.assert_allclose(result.linf, difference.max(axis=1), rtol=1e-6)


@pytest.mark.parametrize("rule", RULES)
def test_impossible_margin_leaves_images_unchanged(model, victims, rule):
    x, labels = victims[0][:16], victims[1][:16]
    result = craft(rule, model, x, labels, confidence=1000.0, binary_search_steps=2)
    assert not result.success.any()
    np.testing.assert_array_equal(result.adversarial, x)
    assert not result.l1.any() and not result.l2.any() and not result.linf.any()
    np.testing.assert_allclose(result.const, 1.0)  # 0.1, then ten times that


@pytest.mark.parametrize("rule", RULES)
def test_neighbours_do_not_matter(model, victims, rule):
    x, labels = victims
    together = craft(rule, model, x, labels, batch_size=64)
    assert_alike(together, craft(rule, model, x, labels, batch_size=16))
    few = craft(rule, model, x[40:43], labels[40:43])
    assert_alike(type(few)(*(field[40:43] for field in together)), few)


@pytest.mark.parametrize("rule", ["L2", "L1"])
def test_neighbours_do_not_matter_to_the_original_classifier(originals, clean, rule):
    x, labels = clean.images[:32], clean.labels[:32]
    settings = {"initial_const": 1.0, "binary_search_steps": 3, "max_iterations": 30}
    together = craft(rule, originals.classifier, x, labels, batch_size=32, **settings)
    assert together.success.any()
    apart = craft(rule, originals.classifier, x, labels, batch_size=16, **settings)
    assert_alike(together, apart)


@pytest.mark.parametrize("rule", RULES)
def test_bounds_move_with_the_images(model, victims, rule):
    x, labels = victims[0][:16], victims[1][:16]
    here = craft(rule, model, x, labels, bounds=(0.0, 1.0))
    shifted = craft(rule, lambda x: model(x + 0.5), x - 0.5, labels, bounds=(-0.5, 0.5))
    assert shifted.adversarial.min() >= -0.5 and shifted.adversarial.max() <= 0.5
    assert_alike(shifted, here)


@pytest.mark.parametrize("rule", RULES)
def test_xla_gives_the_same(model, victims, rule):
    x, labels = victims[0][:16], victims[1][:16]
    compiled = craft(rule, model, x, labels, jit_compile=True)
    plain = craft(rule, model, x, labels, jit_compile=False)
    assert_alike(compiled, plain)
