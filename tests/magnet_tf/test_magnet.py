"""MagNet's thresholds and verdicts against hand-made marks and formulas in NumPy."""

import contextlib
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax

from magnet_tf import (
    DivergenceDetector,
    IdentityReformer,
    MagNet,
    NotCalibratedError,
    ReconstructionDetector,
    Reformer,
)

SHAPE, CLASSES = (4, 4, 1), 3
WEIGHTS = np.random.RandomState(0).normal(0, 1, (16, CLASSES)).astype(np.float32)
RATES = {"I": 0.1, "II": 0.2, "JSD10": 0.05, "JSD40": 0.05}


class Brightness(layers.Layer):
    """A detector whose marks are known: scale times an image's mean."""

    def __init__(self, scale: float = 1.0):
        super().__init__()
        self.scale = scale

    def mark(self, x):
        return self.scale * ops.mean(x, axis=(1, 2, 3))


def images(count: int, seed: int = 1) -> np.ndarray:
    return np.random.RandomState(seed).uniform(size=(count, *SHAPE)).astype(np.float32)


def of_brightness(values) -> np.ndarray:
    """An even image for each value."""
    values = np.asarray(values, np.float32)
    return np.broadcast_to(values[:, None, None, None], (len(values), *SHAPE))


def classifier() -> keras.Model:
    """logits = 20 (x W)"""
    model = keras.Sequential(
        [layers.Input(SHAPE), layers.Flatten(), layers.Dense(CLASSES)]
    )
    model.set_weights([20 * WEIGHTS, np.zeros(CLASSES)])
    return model


def autoencoder(scale: float, offset: float) -> keras.Model:
    """AE(x) = scale x + offset, which may leave [0, 1]."""
    return keras.Sequential([layers.Input(SHAPE), layers.Rescaling(scale, offset)])


def trainable_autoencoder() -> keras.Model:
    """One with weights of its own, to be saved."""
    return keras.Sequential(
        [layers.Input(SHAPE), layers.Conv2D(1, 3, padding="same", activation="sigmoid")]
    )


def marking(detectors) -> MagNet:
    """A MagNet of which only the detectors matter."""
    return MagNet(classifier(), IdentityReformer(), detectors)


def complete(one: keras.Model, two: keras.Model) -> MagNet:
    """D+JSD, uncalibrated."""
    model = classifier()
    detectors = {
        "I": ReconstructionDetector(one, p=2),
        "II": ReconstructionDetector(two, p=1),
        "JSD10": DivergenceDetector(one, model, 10.0),
        "JSD40": DivergenceDetector(one, model, 40.0),
    }
    return MagNet(model, Reformer(one), detectors)


@pytest.fixture(scope="module")
def magnet():
    """D+JSD, calibrated."""
    magnet = complete(autoencoder(1.5, -0.2), autoencoder(0.5, 0.25))
    magnet.calibrate(images(100, seed=2), RATES)
    return magnet


def assert_same_verdict(got, expected, **tolerance):
    np.testing.assert_allclose(got.logits, expected.logits, **tolerance)
    np.testing.assert_array_equal(got.passed, expected.passed)
    assert list(got.marks) == list(expected.marks)
    for name, marks in expected.marks.items():
        np.testing.assert_allclose(got.marks[name], marks, **tolerance)


# Calibration


@pytest.mark.parametrize(
    ("rate", "n"), [(0.025, 1), (0.049, 1), (0.05, 2), (0.1, 4), (0.99, 39)]
)
def test_the_threshold_is_the_nth_largest_mark(rate, n):
    values = np.random.RandomState(0).permutation(40) / 64
    magnet = marking({"I": Brightness()})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        magnet.calibrate(of_brightness(values), {"I": rate})
    assert magnet.thresholds == {"I": sorted(values)[-n]}
    dropped = ~magnet.judge(of_brightness(values)).passed
    np.testing.assert_array_equal(dropped, values >= (40 - n) / 64)


def test_a_mark_at_the_threshold_does_not_pass():
    magnet = marking({"I": Brightness()})
    magnet.calibrate(of_brightness([0, 0.25, 0.5, 0.75]), {"I": 0.5})
    around = [np.nextafter(np.float32(0.5), np.float32(to)) for to in (0, 1)]
    verdict = magnet.judge(of_brightness([around[0], 0.5, around[1]]))
    np.testing.assert_array_equal(verdict.passed, [True, False, False])


def test_equal_marks_are_dropped_together():
    magnet = marking({"I": Brightness()})
    magnet.calibrate(of_brightness([0, 0.25, 0.5, 0.5, 0.5]), {"I": 0.2})
    verdict = magnet.judge(of_brightness([0, 0.25, 0.5, 0.5, 0.5]))
    np.testing.assert_array_equal(verdict.passed, [True, True, False, False, False])


@pytest.mark.parametrize("rate", [0.0, 0.09])
def test_a_drop_rate_of_less_than_one_image_drops_none(rate):
    values = np.arange(11) / 16
    magnet = marking({"I": Brightness()})
    with pytest.warns(UserWarning, match="'I'.* less than one image"):
        magnet.calibrate(of_brightness(values), {"I": rate})
    just_above = np.nextafter(np.float32(10 / 16), np.float32(1))
    assert magnet.thresholds == {"I": just_above}
    verdict = magnet.judge(of_brightness([*values, just_above]))
    np.testing.assert_array_equal(verdict.passed, [True] * 11 + [False])


def test_thresholds_belong_to_their_detectors():
    """Each is found by its name, in whatever order names come."""
    magnet = marking({"b": Brightness(1), "a": Brightness(-2), "c": Brightness(8)})
    values = np.arange(1, 11) / 16
    magnet.calibrate(of_brightness(values), {"a": 0.1, "b": 0.2, "c": 0.3})
    # sorted marks: b 9/16 second; a -2/16 first, of the darkest; c 8 * 8/16 third
    assert magnet.thresholds == {"b": 9 / 16, "a": -2 / 16, "c": 4.0}
    verdict = magnet.judge(of_brightness(values))
    np.testing.assert_array_equal(verdict.marks["b"], values)
    np.testing.assert_array_equal(verdict.marks["a"], -2 * values)
    np.testing.assert_array_equal(verdict.passed, (values > 1 / 16) & (values < 8 / 16))


def test_a_second_calibration_replaces_the_first():
    magnet = marking({"I": Brightness()})
    values = np.arange(10) / 16
    magnet.calibrate(of_brightness(values), {"I": 0.1})
    magnet.calibrate(of_brightness(values), {"I": 0.5})
    assert magnet.thresholds == {"I": 5 / 16}


@pytest.mark.parametrize("names", [["I"], ["I", "II", "III"], ["I", "JSD"], []])
def test_drop_rates_name_each_detector(names):
    magnet = marking({"I": Brightness(), "II": Brightness()})
    with pytest.raises(ValueError, match=r"detectors \['I', 'II'\], got") as raised:
        magnet.calibrate(images(20), dict.fromkeys(names, 0.1))
    assert str(names) in str(raised.value)


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, float("nan"), None, False])
def test_drop_rates_lie_in_0_to_1(rate):
    magnet = marking({"I": Brightness(), "II": Brightness()})
    with pytest.raises(ValueError, match=rf"'II' must be in \[0, 1\), got {rate}"):
        magnet.calibrate(images(20), {"I": 0.1, "II": rate})


def test_drop_rates_are_a_dict():
    with pytest.raises(TypeError, match="drop_rates must be a dict .* got float"):
        marking({"I": Brightness()}).calibrate(images(20), 0.1)


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"I": 0.1}, r"threshold of 'II' is missing; .*\['I', 'II'\]"),
        ({"I": 0.1, "II": 0.2, "JSD": 1}, r"for 'JSD', which is not among .*'II'\]"),
        ({"I": 0.1, "II": float("nan")}, "of 'II' must be a number, got nan"),
        ({"I": "low", "II": 0.2}, "of 'I' must be a number, got 'low'"),
        ({"I": None, "II": 0.2}, "of 'I' must be a number, got None"),
        ({"I": True, "II": 0.2}, "of 'I' must be a number, got True"),
        ({"I": 1e39, "II": 0.2}, r"of 'I' must be a number, got 1e\+39; .*float32"),
        (0.2, r"thresholds must be a dict \{detector: number\}, got float"),
    ],
)
def test_thresholds_are_a_number_for_each_detector(thresholds, message):
    magnet = marking({"I": Brightness(), "II": Brightness()})
    magnet.set_thresholds({"II": 0.5, "I": np.float32(0.25)})
    with pytest.raises(ValueError, match=message):
        magnet.set_thresholds(thresholds)
    assert magnet.thresholds == {"I": 0.25, "II": 0.5}


# Verdicts


def test_the_verdict_is_numpys():
    one, two = (1.5, -0.2), (0.5, 0.25)
    magnet = complete(autoencoder(*one), autoencoder(*two))
    magnet.calibrate(images(100, seed=2), RATES)

    def compute(x):
        x = x.astype(np.float64)
        healed = np.clip(one[0] * x + one[1], 0, 1)
        logits = [20 * i.reshape(len(x), 16) @ np.float64(WEIGHTS) for i in (x, healed)]
        marks = {
            "I": ((x - one[0] * x - one[1]) ** 2).mean(axis=(1, 2, 3)),
            "II": np.abs(x - two[0] * x - two[1]).mean(axis=(1, 2, 3)),
        }
        for t in (10, 40):
            probabilities = [softmax(i / t, axis=1) for i in logits]
            marks[f"JSD{t}"] = jensenshannon(*probabilities, axis=1) ** 2
        return logits[1], marks

    _, validation = compute(images(100, seed=2))
    thresholds = {
        name: np.sort(validation[name])[-int(100 * rate)]
        for name, rate in RATES.items()
    }
    x = images(300)
    logits, marks = compute(x)
    # what lies so close to a threshold that rounding decides is left out
    distance = [np.abs(marks[n] / thresholds[n] - 1) for n in RATES]
    clear = np.min(distance, axis=0) > 1e-4
    passed = np.all([marks[n] < thresholds[n] for n in RATES], axis=0)
    assert clear.sum() > 290 and 100 < passed.sum() < 290

    verdict = magnet.judge(x)
    np.testing.assert_allclose(verdict.logits, logits, atol=1e-4)
    np.testing.assert_array_equal(verdict.passed[clear], passed[clear])
    assert verdict.passed.dtype == bool and verdict.logits.dtype == np.float32
    for name, expected in marks.items():
        np.testing.assert_allclose(verdict.marks[name], expected, rtol=1e-4, atol=1e-7)
        assert magnet.thresholds[name] == pytest.approx(thresholds[name], rel=1e-4)


def test_the_verdict_does_not_depend_on_the_batch_size(magnet):
    x = images(101)
    together = magnet.judge(x)
    for batch_size in (1, 7, 100):
        again = magnet.judge(x, batch_size=batch_size)
        assert_same_verdict(again, together, rtol=1e-5, atol=1e-5)


class Counting(layers.Layer):
    """Hands images on, and counts how often Python asks it to."""

    count = 0

    def call(self, x):
        self.count += 1
        return x


class InNumPy(Brightness):
    """As somebody may write one who does not think of graphs."""

    def mark(self, x):
        return super().mark(ops.convert_to_numpy(x))


@pytest.mark.parametrize(
    ("others", "asked"),
    [
        ({}, 1),
        ({"mine": InNumPy()}, 5),
        ({"mine": ReconstructionDetector(layers.Rescaling(0.5))}, 5),
    ],
)
def test_many_images_are_judged_as_a_graph_where_all_parts_are_one(others, asked):
    """Of 300 images each 64 are a batch; of a graph Python sees one."""
    counting = Counting()
    small = keras.Sequential([layers.Input(SHAPE), counting, layers.Rescaling(0.9)])
    detectors = {"I": ReconstructionDetector(small, p=2), **others}
    magnet = MagNet(classifier(), Reformer(small), detectors)
    x = images(300)
    magnet.set_thresholds(dict.fromkeys(detectors, 0.003))
    counting.count = 0
    verdict = magnet.judge(x)
    assert counting.count == asked
    np.testing.assert_allclose(
        verdict.marks["I"], ((0.1 * x) ** 2).mean((1, 2, 3)), rtol=1e-5
    )
    for index in (0, 299):
        one = magnet.judge(x[index : index + 1])
        assert one.passed[0] == verdict.passed[index]
        np.testing.assert_allclose(one.logits[0], verdict.logits[index], rtol=1e-5)


def test_a_verdict_prints_as_a_summary():
    magnet = marking({"dark": Brightness(), "bright": Brightness(2.0)})
    magnet.set_thresholds({"dark": 0.5, "bright": 0.5})
    verdict = magnet.judge(of_brightness([0.1, 0.2, 0.4]))
    assert repr(verdict) == (
        "<Verdict: 2 of 3 images passed, 3 classes; median marks: dark 0.2, bright 0.4>"
    )
    assert repr(marking({}).judge(images(2))) == (
        "<Verdict: 2 of 2 images passed, 3 classes; median marks: none>"
    )


def test_calling_it_in_a_graph_is_judging(magnet):
    x = images(50)
    outputs = tf.function(magnet)(tf.constant(x))
    judged = magnet.judge(x)
    np.testing.assert_allclose(outputs["logits"], judged.logits, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(outputs["passed"], judged.passed)
    assert set(outputs["marks"]) == set(RATES)
    for name, marks in judged.marks.items():
        np.testing.assert_allclose(outputs["marks"][name], marks, rtol=1e-4, atol=1e-7)


def test_images_in_float64_are_judged(magnet):
    x = images(20)
    assert_same_verdict(magnet.judge(x.astype(np.float64)), magnet.judge(x))


def test_without_detectors_everything_passes():
    magnet = MagNet(classifier(), Reformer(autoencoder(2.0, -0.5)), {})
    magnet.calibrate(images(10), {})
    x = images(5)
    verdict = magnet.judge(x)
    assert verdict.passed.all() and verdict.marks == {} and magnet.thresholds == {}
    healed = np.clip(2 * x - 0.5, 0, 1).reshape(5, 16)
    np.testing.assert_allclose(verdict.logits, 20 * healed @ WEIGHTS, atol=1e-4)


def test_the_reformer_clips_its_autoencoders_output():
    x = images(300)
    healed = Reformer(autoencoder(2.0, -0.5)).heal(x)
    np.testing.assert_allclose(healed, np.clip(2 * x - 0.5, 0, 1), atol=1e-6)
    assert healed.min() == 0 and healed.max() == 1


def test_the_identity_reformer_leaves_images_as_they_are():
    x = images(300)
    np.testing.assert_array_equal(IdentityReformer().heal(x), x)
    np.testing.assert_allclose(
        marking({}).judge(x).logits, 20 * x.reshape(300, 16) @ WEIGHTS, atol=1e-4
    )


# Before calibration


def test_there_is_no_verdict_before_calibration():
    magnet = marking({"I": Brightness()})
    with pytest.raises(NotCalibratedError, match="magnet.calibrate"):
        magnet.judge(images(3))
    with pytest.raises(NotCalibratedError, match="magnet.calibrate"):
        _ = magnet.thresholds
    # as a layer it cannot raise; there nothing passes
    assert not ops.convert_to_numpy(magnet(images(3))["passed"]).any()


def test_a_failed_calibration_changes_nothing():
    magnet = marking({"I": Brightness()})
    magnet.calibrate(of_brightness([0.25, 0.5]), {"I": 0.5})
    with pytest.raises(ValueError, match="NaN"):
        magnet.calibrate(images(3) * np.nan, {"I": 0.5})
    assert magnet.thresholds == {"I": 0.5}


# Bad input


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ((images(3) * 255).astype(np.uint8), TypeError, "got uint8"),
        (images(3) * np.nan, ValueError, "NaN or infinite"),
        (images(3) - np.inf, ValueError, "NaN or infinite"),
        (images(3) + 0.5, ValueError, r"in \[0, 1\], got values from"),
        (images(3) - 0.5, ValueError, r"in \[0, 1\], got values from"),
        (images(3)[0], ValueError, r"N, H, W, C\], got shape \(4, 4, 1\)"),
        (images(3)[:0], ValueError, "non-empty"),
        (images(3)[:, :3], ValueError, r"of shape \(4, 4, 1\), got \(3, 4, 1\)"),
        (np.repeat(images(3), 3, axis=3), ValueError, r"got \(4, 4, 3\)"),
        ([images(1)[0], images(1)[0][:2]], TypeError, "images must be an array"),
    ],
)
def test_bad_images(magnet, x, error, message):
    with pytest.raises(error, match=message):
        magnet.judge(x)
    with pytest.raises(error, match=message):
        magnet.calibrate(x, RATES)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ((None, IdentityReformer(), {}), "classifier must be a Keras model, got None"),
        (
            (autoencoder(1, 0), autoencoder(1, 0), {}),
            r"reformer must have a method heal\(x\), got",
        ),
        (
            (autoencoder(1, 0), IdentityReformer(), {"I": autoencoder(1, 0)}),
            r"detector 'I' must have a method mark\(x\)",
        ),
        (
            (autoencoder(1, 0), IdentityReformer(), [Brightness()]),
            "detectors must be a",
        ),
    ],
)
def test_what_is_no_part_of_a_defence(parts, message):
    with pytest.raises(TypeError, match=message):
        MagNet(*parts)


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, "2", None, True])
def test_a_batch_size_is_a_whole_number(magnet, batch_size):
    with pytest.raises(ValueError, match=f"batch_size must be .*, got '?{batch_size}"):
        magnet.judge(images(3), batch_size)


@pytest.mark.parametrize(
    ("last_layer", "message"),
    [
        (layers.Softmax(), "returns probabilities"),
        (layers.Rescaling(float("nan")), r"shape \(20, 3\) with NaN"),
        (layers.Rescaling(float("inf")), r"shape \(20, 3\) with NaN or infinite"),
        (layers.Reshape((3, 1)), r"logits \[N, K\], got shape \(20, 3, 1\)\."),
    ],
)
def test_a_classifier_that_gives_no_logits(last_layer, message):
    model = keras.Sequential([*classifier().layers, last_layer])
    magnet = MagNet(model, IdentityReformer(), {"I": Brightness()})
    with pytest.raises(ValueError, match=message):
        magnet.calibrate(images(20), {"I": 0.1})


# Saving


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A MagNet of trained parts and the file it was saved to."""
    magnet = complete(trainable_autoencoder(), trainable_autoencoder())
    magnet.calibrate(images(100, seed=2), RATES)
    path = tmp_path_factory.mktemp("saved") / "defended.keras"
    magnet.save(path)
    return magnet, path


def test_a_loaded_magnet_gives_the_same_verdict(saved):
    magnet, path = saved
    loaded = keras.saving.load_model(path, safe_mode=True)
    assert loaded.thresholds == magnet.thresholds
    assert list(loaded.thresholds) == list(RATES)
    verdict = loaded.judge(images(50))
    assert_same_verdict(verdict, magnet.judge(images(50)))
    assert 0 < verdict.passed.sum() < 50


def test_loading_shares_models_again(saved):
    loaded = keras.saving.load_model(saved[1])
    detectors = loaded.detectors
    assert loaded.classifier is detectors["JSD10"].classifier
    assert loaded.classifier is detectors["JSD40"].classifier
    assert loaded.reformer.autoencoder is detectors["I"].autoencoder
    assert loaded.reformer.autoencoder is detectors["JSD10"].autoencoder
    assert loaded.reformer.autoencoder is not detectors["II"].autoencoder
    assert (detectors["I"].p, detectors["II"].p) == (2, 1)
    assert [detectors[f"JSD{t}"].temperature for t in (10, 40)] == [10.0, 40.0]
    assert len(loaded.weights) == 2 + 2 + 2 + 1  # each model's once, and the thresholds
    assert len(saved[0].get_config()["models"]) == 3  # and written once


def test_a_loaded_magnet_can_be_saved_again(saved, tmp_path):
    magnet, path = saved
    keras.saving.load_model(path).save(tmp_path / "again.keras")
    again = keras.saving.load_model(tmp_path / "again.keras")
    assert_same_verdict(again.judge(images(50)), magnet.judge(images(50)))


def test_a_magnet_that_was_not_calibrated_is_saved_as_such(tmp_path):
    complete(trainable_autoencoder(), trainable_autoencoder()).save(
        tmp_path / "uncalibrated.keras"
    )
    loaded = keras.saving.load_model(tmp_path / "uncalibrated.keras")
    with pytest.raises(NotCalibratedError):
        loaded.judge(images(3))
    loaded.calibrate(images(100), RATES)
    assert loaded.judge(images(3)).passed.shape == (3,)


def test_a_magnet_without_detectors_is_saved(tmp_path):
    magnet = marking({})
    magnet.save(tmp_path / "healing.keras")
    loaded = keras.saving.load_model(tmp_path / "healing.keras")
    assert_same_verdict(loaded.judge(images(5)), magnet.judge(images(5)))
    assert isinstance(loaded.reformer, IdentityReformer)


@pytest.fixture
def full_disk():
    """A context in which no file grows beyond 1 KiB."""
    resource = pytest.importorskip("resource")

    @contextlib.contextmanager
    def limited():
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**10, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited


@pytest.mark.parametrize(
    ("write", "name"), [(MagNet.save, "d.keras"), (MagNet.export, "exported")]
)
def test_a_full_disk_leaves_what_was_there(saved, tmp_path, full_disk, write, name):
    write(saved[0], tmp_path / name)
    before = {p: p.is_file() and p.read_bytes() for p in tmp_path.rglob("*")}
    for path in (tmp_path / name, tmp_path / f"another_{name}"):
        with (
            full_disk(),
            pytest.raises(OSError, match="not be written.*make room") as e,
        ):
            write(saved[0], path)
        assert str(e.value).startswith(f"{path} ") and "\n" not in str(e.value)
    assert {p: p.is_file() and p.read_bytes() for p in tmp_path.rglob("*")} == before


def test_an_export_replaces_an_earlier_one_and_nothing_else(saved, tmp_path):
    (tmp_path / "exported").mkdir()
    (tmp_path / "exported/notes.txt").write_text("mine")
    saved[0].export(tmp_path / "exported")
    first = (tmp_path / "exported/saved_model.pb").stat().st_ino
    saved[0].export(str(tmp_path / "exported"))
    assert (tmp_path / "exported/saved_model.pb").stat().st_ino != first
    assert (tmp_path / "exported/notes.txt").read_text() == "mine"
    assert [file.name for file in tmp_path.iterdir()] == ["exported"]


def test_a_magnet_is_a_keras_file(saved, tmp_path):
    with pytest.raises(ValueError, match=r"m\.h5: a MagNet is saved as a \.keras file"):
        saved[0].save(tmp_path / "m.h5")
    with pytest.raises(FileExistsError, match="is there already"):
        saved[0].save(saved[1], overwrite=False)
