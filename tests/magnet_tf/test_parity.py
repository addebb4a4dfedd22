"""The defence against what the original's worker gave on the same models and images."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from magnet_tf import (
    DivergenceDetector,
    ReconstructionDetector,
    Reformer,
    legacy,
    variants,
)

# The original computes divergences in float32, as differences of terms near 1e-2: its marks
# carry rounding of this size, which depends on the last bits of the logits and so on the
# machine. Here they are computed in float64.
JSD_NOISE = 2e-7

# the original's names of the detectors -> here
NAMES = {"I": "I", "II": "II", "JSD_T10": "JSD10", "JSD_T40": "JSD40"}
THRESHOLDS = {"I": "I", "II": "II", "JSD10": "J10", "JSD40": "J40"}


@pytest.fixture(scope="module")
def attacked(golden_dir) -> dict[int, np.ndarray]:
    """The original's C&W examples of the 40 images, by confidence."""
    folder = golden_dir / "attack_data"
    return {
        k: legacy.load_attack_data(folder / f"example_carlini_{k}.0.pkl")
        for k in (0, 10)
    }


@pytest.fixture(scope="module")
def magnet(originals):
    """D+JSD, uncalibrated; D is it without its last two detectors."""
    return variants.VARIANTS["mnist"]["D+JSD"].build(
        originals.classifier, {"I": originals.I, "II": originals.II}
    )


@pytest.fixture(scope="module")
def judged(magnet, mnist, originals):
    """D+JSD calibrated as the original was, and what it says of the 10,000 test images."""
    magnet.calibrate(
        mnist.validation.images, variants.VARIANTS["mnist"]["D+JSD"].drop_rates
    )
    verdict = magnet.judge(mnist.test.images)
    undefended = originals.classifier.predict(
        mnist.test.images, batch_size=256, verbose=0
    )
    return SimpleNamespace(
        thresholds=magnet.thresholds,
        marks=verdict.marks,
        right=undefended.argmax(axis=1) == mnist.test.labels,
        healed_right=verdict.logits.argmax(axis=1) == mnist.test.labels,
    )


def accuracies(right, healed_right, passed, attacked):
    """With both defences, with detectors, with the reformer and with none, as the original."""
    if attacked:
        both, detectors = (
            1 - np.mean(passed & ~healed_right),
            1 - np.mean(passed & ~right),
        )
    else:
        both, detectors = np.mean(passed & healed_right), np.mean(passed & right)
    return [both, detectors, np.mean(healed_right), np.mean(right)]


def golden_thresholds(golden, variant):
    names = ["I", "II"] if variant == "D" else ["I", "II", "JSD10", "JSD40"]
    return {name: golden[f"{variant}/threshold_{THRESHOLDS[name]}"] for name in names}


def test_test_images_are_the_originals(mnist, clean, golden, golden_dir):
    index = legacy.load_attack_data(golden_dir / "attack_data/example_idx.pkl")
    np.testing.assert_array_equal(index, golden["test_index"])
    np.testing.assert_array_equal(mnist.test.images[index], clean.images)
    np.testing.assert_array_equal(mnist.test.labels[index], clean.labels)


def test_logits_and_softmax(originals, clean, golden):
    logits = originals.classifier(clean.images)
    np.testing.assert_allclose(logits, golden["logits"], rtol=0, atol=1e-5)
    softmax = keras.ops.softmax(logits / 10)
    np.testing.assert_allclose(softmax, golden["prob_T10"], rtol=0, atol=1e-5)


def test_healed(originals, clean, golden):
    healed = Reformer(originals.I).heal(clean.images)
    np.testing.assert_allclose(healed, golden["healed"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("key", ["marks", "marks_adv10"])
def test_marks(key, originals, clean, attacked, golden):
    x = clean.images if key == "marks" else attacked[10]
    for name, detector in {
        "I": ReconstructionDetector(originals.I, p=2),
        "II": ReconstructionDetector(originals.II, p=1),
    }.items():
        np.testing.assert_allclose(detector.mark(x), golden[f"{key}_{name}"], rtol=1e-4)
    for temperature in (10, 40):
        detector = DivergenceDetector(
            originals.I, originals.classifier, float(temperature)
        )
        np.testing.assert_allclose(
            detector.mark(x),
            golden[f"{key}_JSD_T{temperature}"],
            rtol=1e-4,
            atol=JSD_NOISE,
        )


@pytest.mark.parametrize("variant", ["D", "D+JSD"])
@pytest.mark.parametrize("confidence", [0, 10])
def test_verdicts_on_attacked_images(
    variant, confidence, magnet, originals, clean, attacked, golden
):
    """Which of the 40 pass, and the accuracies, at the original's thresholds."""
    x = attacked[confidence]
    passed = np.ones(40, bool)
    for name, threshold in golden_thresholds(golden, variant).items():
        passed &= magnet.detectors[name].mark(x) < threshold
    np.testing.assert_array_equal(
        np.flatnonzero(passed), golden[f"{variant}/cw{confidence}_pass"]
    )

    right = np.argmax(originals.classifier(x), axis=1) == clean.labels
    healed_right = (
        np.argmax(originals.classifier(magnet.reformer.heal(x)), axis=1) == clean.labels
    )
    np.testing.assert_allclose(
        accuracies(right, healed_right, passed, attacked=True),
        golden[f"{variant}/cw{confidence}_acc_both_det_ref_none"],
        atol=1e-12,
    )


def test_the_originals_scaling_changes_no_verdict(magnet, judged, mnist):
    """It takes 0.5 from x / 255 and adds it again: 63 of 256 values move, by half a bit."""
    values = np.arange(256, dtype=np.float32) / 255
    there = (values - np.float32(0.5)) + np.float32(0.5)
    assert (values != there).sum() == 63 and np.abs(values - there).max() < 1.5e-8

    x = mnist.test.images[:1000]
    verdict = magnet.judge((x - np.float32(0.5)) + np.float32(0.5))
    for name, marks in judged.marks.items():
        np.testing.assert_array_equal(
            verdict.marks[name] < judged.thresholds[name],
            marks[:1000] < judged.thresholds[name],
        )
    np.testing.assert_array_equal(
        verdict.logits.argmax(axis=1) == mnist.test.labels[:1000],
        judged.healed_right[:1000],
    )


# What comes back for an image that an attack failed on -> none, D's and D+JSD's both
FAILED = {
    "grey": (1 / 40, 11 / 40, 18 / 40),
    "unchanged": (3 / 40, 11 / 40, 18 / 40),
    "black": (0, 8 / 40, 15 / 40),
}


@pytest.mark.parametrize("case", FAILED)
def test_what_comes_back_for_a_failed_image_moves_the_accuracies(
    case, magnet, originals, clean, attacked, golden
):
    x = attacked[10]
    failed = (x == 0.5).all(axis=(1, 2, 3))
    assert failed.sum() == 3
    instead = {"grey": x, "unchanged": clean.images, "black": np.zeros_like(x)}[case]
    x = np.where(failed[:, None, None, None], instead, x)
    healed = originals.classifier(magnet.reformer.heal(x))
    healed_right = np.argmax(healed, axis=1) == clean.labels
    right = np.argmax(originals.classifier(x), axis=1) == clean.labels
    found = [right.mean()]
    for variant in ("D", "D+JSD"):
        passed = np.ones(40, bool)
        for name, threshold in golden_thresholds(golden, variant).items():
            passed &= magnet.detectors[name].mark(x) < threshold
        found.append(accuracies(right, healed_right, passed, attacked=True)[0])
    assert found == pytest.approx(FAILED[case])


def test_thresholds(judged, golden):
    """That of JSD40 is the noise's size away (1.7e-4 relative), and a float64 one as it stands."""
    for variant in ("D", "D+JSD"):
        for name, threshold in golden_thresholds(golden, variant).items():
            atol = JSD_NOISE if name == "JSD40" else 0
            np.testing.assert_allclose(
                judged.thresholds[name], threshold, rtol=1e-4, atol=atol
            )


@pytest.mark.parametrize("variant", ["D", "D+JSD"])
def test_clean_images_at_the_originals_thresholds(variant, judged, golden):
    """How many of the 10,000 test images pass each and all detectors, and the accuracies."""
    thresholds = golden_thresholds(golden, variant)
    passes = np.array([judged.marks[name] < thresholds[name] for name in thresholds])
    np.testing.assert_array_equal(
        passes.sum(axis=1), golden[f"{variant}/clean_collector"]
    )
    passed = passes.all(axis=0)
    assert passed.sum() == golden[f"{variant}/clean_all_pass_count"]
    np.testing.assert_allclose(
        accuracies(judged.right, judged.healed_right, passed, attacked=False),
        golden[f"{variant}/clean_acc_both_det_ref_none"],
        atol=1e-12,
    )


@pytest.mark.parametrize("variant", ["D", "D+JSD"])
def test_clean_images_at_our_thresholds(variant, judged, golden):
    """The same counts; but one image's JSD40 mark lies between our threshold and the original's."""
    thresholds = golden_thresholds(golden, variant)
    passes = np.array(
        [judged.marks[name] < judged.thresholds[name] for name in thresholds]
    )
    off = np.abs(passes.sum(axis=1) - golden[f"{variant}/clean_collector"])
    allowed = [1 if name == "JSD40" else 0 for name in thresholds]
    assert (off <= allowed).all(), dict(zip(thresholds, off))
    passed = passes.all(axis=0)
    assert abs(passed.sum() - golden[f"{variant}/clean_all_pass_count"]) <= max(allowed)
    np.testing.assert_allclose(
        accuracies(judged.right, judged.healed_right, passed, attacked=False),
        golden[f"{variant}/clean_acc_both_det_ref_none"],
        atol=max(allowed) / 10_000 + 1e-12,
    )
