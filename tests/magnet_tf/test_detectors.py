"""Marks against SciPy and the formulas in float64."""

import keras
import numpy as np
import pytest
from keras import layers
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax

from magnet_tf import DivergenceDetector, MagNet, ReconstructionDetector, Reformer
from magnet_tf.detectors import jensen_shannon


def divergence(logits_p, logits_q, temperature):
    """SciPy's Jensen-Shannon divergence in float64; its distance is the square root."""
    p = softmax(np.float64(logits_p) / temperature, axis=-1)
    q = softmax(np.float64(logits_q) / temperature, axis=-1)
    return jensenshannon(p, q, axis=-1) ** 2


def pairs_of_logits():
    """Pairs [N, 10] from far apart to nearly equal, and saturated ones."""
    random = np.random.RandomState(0)
    p = random.normal(0, 10, (300, 10))
    q = p + random.normal(0, 1, p.shape) * 10.0 ** random.randint(-3, 2, (300, 1))
    saturated = random.choice([-1e4, 1e4], (2, 100, 10))
    return (
        np.concatenate([p, saturated[0], p[:10] + 1e4]).astype(np.float32),
        np.concatenate([q, saturated[1], p[10:20] - 1e4]).astype(np.float32),
    )


def rescaling(scale, offset=0.0, shape=(1, 1, 10)):
    """Images to images: scale x + offset."""
    return keras.Sequential([layers.Input(shape), layers.Rescaling(scale, offset)])


def linear_classifier(scale, offset):
    """Images [N, 1, 1, 10] to logits [N, 10]: scale x + offset."""
    return keras.Sequential(
        [layers.Input((1, 1, 10)), layers.Rescaling(scale, offset), layers.Flatten()]
    )


@pytest.mark.parametrize("temperature", [1.0, 10.0, 40.0])
def test_divergence_is_scipys(temperature):
    p, q = pairs_of_logits()
    result = keras.ops.convert_to_numpy(jensen_shannon(p, q, temperature))
    expected = divergence(p, q, temperature)
    assert np.isfinite(result).all()
    assert expected.min() < 1e-9 and expected.max() > 0.69  # the pairs span the range
    np.testing.assert_allclose(result, expected, rtol=1e-7, atol=1e-15)
    assert result.min() >= 0 and result.max() <= np.log(2) + 1e-15


@pytest.mark.parametrize("temperature", [1.0, 10.0, 40.0])
def test_divergence_of_equal_logits_is_zero(temperature):
    p, _ = pairs_of_logits()
    assert not keras.ops.convert_to_numpy(jensen_shannon(p, p, temperature)).any()


@pytest.mark.parametrize("temperature", [1.0, 10.0, 40.0])
@pytest.mark.parametrize("scale", [20.0, 2e4])
def test_divergence_detector(scale, temperature):
    """With an autoencoder that turns images round, and then goes beyond [0, 1] and is clipped."""
    x = np.random.RandomState(0).uniform(size=(300, 1, 1, 10)).astype(np.float32)
    x[:100] = x[:100].round()  # at the larger scale: logits of +-1e4
    autoencoder, classifier = rescaling(-2.0, 1.5), linear_classifier(scale, -scale / 2)
    detector = DivergenceDetector(autoencoder, classifier, temperature)
    marks = detector.mark(x)
    assert marks.shape == (300,) and marks.dtype == np.float32
    healed = np.clip(np.float32(1.5) - 2 * x, 0, 1)
    logits = (np.float32(scale) * i - np.float32(scale / 2) for i in (x, healed))
    expected = divergence(*(i.reshape(300, 10) for i in logits), temperature)
    np.testing.assert_allclose(marks, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("temperature", [1.0, 10.0])
def test_divergence_between_two_reconstructions(temperature, tmp_path):
    """`DBDetector(reconstructor, prober, classifier, T)` in the original."""
    x = np.random.RandomState(0).uniform(size=(300, 1, 1, 10)).astype(np.float32)
    detector = DivergenceDetector(
        rescaling(-2.0, 1.5),
        linear_classifier(20, -10),
        temperature,
        rescaling(3.0, -1),
    )
    healed = np.clip(1.5 - 2 * x, 0, 1), np.clip(3 * x - 1, 0, 1)
    logits = (20 * i.reshape(300, 10) - 10 for i in healed)
    expected = divergence(*logits, temperature)
    np.testing.assert_allclose(detector.mark(x), expected, rtol=1e-4, atol=1e-7)

    magnet = MagNet(detector.classifier, Reformer(detector.prober), {"JSD": detector})
    magnet.calibrate(x, {"JSD": 0.1})
    magnet.save(tmp_path / "defended.keras")
    loaded = keras.saving.load_model(tmp_path / "defended.keras")
    assert loaded.reformer.autoencoder is loaded.detectors["JSD"].prober
    np.testing.assert_array_equal(loaded.judge(x).marks["JSD"], detector.mark(x))


def test_divergence_of_unchanged_images_is_zero():
    x = np.random.RandomState(0).uniform(size=(20, 1, 1, 10)).astype(np.float32)
    detector = DivergenceDetector(rescaling(1.0), linear_classifier(2e4, -1e4), 10.0)
    assert not detector.mark(x).any()


@pytest.mark.parametrize("p", [1, 2])
def test_reconstruction_detector(p, originals, clean):
    marks = ReconstructionDetector(originals.I, p=p).mark(clean.images)
    assert marks.shape == (40,) and marks.dtype == np.float32
    reconstruction = keras.ops.convert_to_numpy(originals.I(clean.images))
    error = np.abs(clean.images.astype(np.float64) - reconstruction)
    np.testing.assert_allclose(marks, (error**p).mean(axis=(1, 2, 3)), rtol=1e-5)


def test_reconstruction_detector_by_hand():
    x = np.stack([np.zeros((1, 1, 10)), np.ones((1, 1, 10))]).astype(np.float32)
    dark = rescaling(0.25)
    np.testing.assert_allclose(ReconstructionDetector(dark, p=1).mark(x), [0, 0.75])
    np.testing.assert_allclose(ReconstructionDetector(dark, p=2).mark(x), [0, 0.5625])


def test_marks_of_many_batches_are_those_of_one_image_at_a_time(originals, clean):
    x = np.tile(clean.images, (8, 1, 1, 1))[:300]
    detector = ReconstructionDetector(originals.II, p=1)
    alone = np.concatenate(
        [detector.mark(image[np.newaxis]) for image in clean.images[:5]]
    )
    np.testing.assert_allclose(detector.mark(x)[[0, 1, 2, 3, 4]], alone, rtol=1e-5)
    np.testing.assert_allclose(detector.mark(x)[280:285], alone, rtol=1e-5)


X = np.full((3, 1, 1, 10), 0.5, np.float32)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ((X * 255).astype(np.uint8), TypeError, "floats in .0, 1., got uint8"),
        (X[0], ValueError, r"\[N, H, W, C\], got shape \(1, 1, 10\)"),
        (X[:0], ValueError, "non-empty"),
        (X * np.nan, ValueError, "NaN or infinite"),
        (X + np.inf, ValueError, "NaN or infinite"),
        (X + 1, ValueError, "from 1.5 to 1.5"),
        (X - 1, ValueError, "from -0.5 to -0.5"),
    ],
)
def test_bad_images(x, error, message):
    autoencoder = rescaling(1.0)
    for detector in (
        ReconstructionDetector(autoencoder),
        DivergenceDetector(autoencoder, linear_classifier(1.0, 0.0)),
    ):
        with pytest.raises(error, match=message):
            detector.mark(x)


@pytest.mark.parametrize("p", [0, float("inf"), "2", True, None])
def test_bad_exponent(p):
    with pytest.raises(ValueError, match="p must be above 0, got"):
        ReconstructionDetector(rescaling(1.0), p)


@pytest.mark.parametrize("part", [None, 2, "model"])
def test_what_is_no_model(part):
    for make in (
        lambda: ReconstructionDetector(part),
        lambda: Reformer(part),
        lambda: DivergenceDetector(part, rescaling(1.0)),
        lambda: DivergenceDetector(rescaling(1.0), part),
    ):
        with pytest.raises(TypeError, match="must be a Keras model, got"):
            make()


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), "10", False])
def test_bad_temperature(temperature):
    with pytest.raises(ValueError, match="temperature must be above 0"):
        DivergenceDetector(rescaling(1.0), linear_classifier(1.0, 0.0), temperature)
