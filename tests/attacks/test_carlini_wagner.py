"""C&W against the published algorithm, written again in float64, and against the original."""

import numpy as np
import pytest

from attacks import carlini_wagner_l2
from magnet_tf import legacy
from tests.attacks.small_model import CLASSES, SmallModel, Spy, hinge, images


def minimize(model, x0, labels, *, c, confidence, targeted, learning_rate, iterations):
    """Carlini & Wagner's L2 attack for one c, with Kingma & Ba's Adam as TensorFlow 1 writes it.

    Returns the images at which gradients are taken, what distances are measured from, and who
    is fooled there.
    """
    w = np.arctanh((2 * x0 - 1) * 0.999999)
    start = (np.tanh(w) + 1) / 2
    m, v = np.zeros_like(w), np.zeros_like(w)
    xs, fooled = [], []
    for t in range(1, iterations + 1):
        x = (np.tanh(w) + 1) / 2
        _, of_hinge, success = hinge(model, x, labels, confidence, targeted)
        gradient = (2 * (x - start) + c * of_hinge) * 2 * x * (1 - x)
        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * gradient**2
        rate = learning_rate * np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
        w = w - rate * m / (np.sqrt(v) + 1e-8)
        xs.append(x)
        fooled.append(success)
    return np.array(xs), start, np.array(fooled)


@pytest.fixture(scope="module")
def model():
    return SmallModel()


@pytest.mark.parametrize(
    ("c", "confidence", "targeted"),
    [(1.0, 0.0, False), (10.0, 0.2, False), (1.0, 0.1, True)],
)
def test_every_iterate_and_the_result_are_those_of_float64(
    model, c, confidence, targeted
):
    x0 = images(16)
    labels = model.logits(x0).argmax(axis=1)
    if targeted:
        labels = (labels + 1) % CLASSES
    settings = {"confidence": confidence, "targeted": targeted, "learning_rate": 0.01}
    spy = Spy(model)
    result = carlini_wagner_l2(
        spy,
        x0,
        labels,
        max_iterations=100,
        binary_search_steps=1,
        initial_const=c,
        jit_compile=False,
        **settings,
    )
    xs, start, fooled = minimize(
        model, x0.astype(np.float64), labels, c=c, iterations=100, **settings
    )
    seen = np.array(spy.calls[1:-1])
    assert seen.shape == xs.shape and np.abs(xs - x0).max() > 0.2
    np.testing.assert_allclose(seen, xs, rtol=0, atol=1e-4)

    success = fooled.any(axis=0)
    assert 0 < success.sum() < len(x0)
    distance = np.where(fooled, ((xs - start) ** 2).sum(axis=(2, 3, 4)), np.inf)
    best = xs[distance.argmin(axis=0), np.arange(len(x0))]
    np.testing.assert_array_equal(result.success, success)
    np.testing.assert_allclose(
        result.adversarial,
        np.where(success[:, None, None, None], best, x0),
        rtol=0,
        atol=1e-4,
    )


def test_original(golden_dir, originals, clean):
    """16 images. The search over c turns rounding into small jumps, so not every image is
    within 2 %.
    """
    x = clean.images[:16]
    result = carlini_wagner_l2(
        originals.classifier,
        x,
        clean.labels[:16],
        max_iterations=300,
        binary_search_steps=6,
    )
    path = golden_dir / "attack_data/example_carlini_0.0.pkl"
    golden = legacy.load_attack_data(path)[:16]
    golden_l2 = np.sqrt(((golden.astype(np.float64) - x) ** 2).sum(axis=(1, 2, 3)))
    golden_success = (golden != 0.5).any(axis=(1, 2, 3))
    assert abs(result.success.sum() - golden_success.sum()) <= 1

    both = result.success & golden_success
    assert result.l2[both].mean() == pytest.approx(golden_l2[both].mean(), rel=0.01)
    assert (np.abs(result.l2 / golden_l2 - 1)[both] < 0.02).mean() >= 0.85
