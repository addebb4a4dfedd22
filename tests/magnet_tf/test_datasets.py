"""The digits against their stored originals, and TFDS datasets against made-up ones."""

import hashlib
import importlib.resources
import socket
import urllib.request

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from scipy.ndimage import map_coordinates
from tensorflow_datasets.core import constants, registered
from tensorflow_datasets.core.download import downloader

from magnet_tf import datasets


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """An empty folder in which TFDS, which read its variable already, looks."""
    monkeypatch.setattr(constants, "DATA_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def offline(monkeypatch):
    """No name is resolved and no proxy is set; gives the hosts asked for."""
    asked = []

    def no_name_resolution(host, *args, **kwargs):
        asked.append(host)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", no_name_resolution)
    monkeypatch.setattr(urllib.request, "getproxies", dict)
    monkeypatch.setattr(downloader, "MAX_RETRIES", downloader.MAX_RETRIES)  # put back
    return asked


def image_of(index: int, shape=(20, 20, 3), dtype=np.uint8) -> np.ndarray:
    """An image that tells its index by its first pixel; its last is at full scale."""
    image = np.full(shape, index, dtype)
    image[-1, -1] = np.iinfo(dtype).max
    return image


def define(name: str, counts: dict[str, int], shape=(20, 20, 3), **features) -> type:
    """A TFDS builder of splits {name: number of images} with 20 classes.

    The i-th image of all has the value i and the label i % 20. It is not registered, so
    that TFDS knows it by its files alone, as it knows data prepared elsewhere.

    Args:
        features: replace or, where None, remove those named.
    """
    features = {
        "image": tfds.features.Image(shape=shape),
        "label": tfds.features.ClassLabel(num_classes=20),
        **features,
    }
    features = {key: feature for key, feature in features.items() if feature}
    keys = ("image", "label") if "label" in features else None
    starts = dict(zip(counts, np.cumsum([0, *counts.values()])))

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=keys,
            disable_shuffling=True,
        )

    def _split_generators(self, _):
        return {split: self._generate_examples(split) for split in counts}

    def _generate_examples(self, split):
        dtype = features["image"].np_dtype
        for index in range(starts[split], starts[split] + counts[split]):
            own_shape = [size or 20 + index for size in shape]
            example = {"image": image_of(index, own_shape, dtype), "label": index % 20}
            yield index, {key: example[key] for key in features}

    members = {"VERSION": tfds.core.Version("1.0.0"), "pkg_dir_path": None}
    functions = (_info, _split_generators, _generate_examples)
    members |= {function.__name__: function for function in functions}
    bases = (tfds.core.GeneratorBasedBuilder,)
    return type(name, bases, members, skip_registration=True)


def prepare(data_dir, *args, **kwargs) -> None:
    define(*args, **kwargs)(data_dir=data_dir).download_and_prepare()


def indices(split: datasets.Split) -> np.ndarray:
    """Which images a split has, in order, for images by `image_of`."""
    return np.rint(split.images[:, 0, 0, 0] * 255).astype(int)


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


def splits(dataset):
    return dataset.train, dataset.validation, dataset.test


def test_digits_shapes_and_ranges(digits):
    sizes = [len(digits.train.labels), len(digits.validation.labels)]
    assert [*sizes, len(digits.test.labels)] == [1097, 300, 400]
    assert digits.num_classes == 10
    for split in splits(digits):
        assert split.images.shape == (len(split.labels), 28, 28, 1)
        assert split.images.dtype == np.float32 and split.labels.dtype == np.int64
        assert split.images.min() == 0 and split.images.max() == 1
        assert set(split.labels) == set(range(10))


def test_digits_split_is_fixed(digits):
    labels = np.concatenate([split.labels for split in splits(digits)])
    digest = hashlib.sha256(labels.astype(np.uint8).tobytes()).hexdigest()
    assert digest == "0f9ffd7948cafb397f7a000b667568d2e6ff757cc70e9e96e7ac289f51898d6f"


def test_digits_are_the_stored_ones_enlarged_linearly(digits):
    """Each stored image is there once, with its label, as SciPy enlarges it."""
    file = importlib.resources.files("magnet_tf").joinpath("data/digits.npz")
    with file.open("rb") as opened:
        archive = np.load(opened)
        small, small_labels = archive["images"], archive["labels"]
    # 28 points from edge to edge of the 8x8 pixels, whose centres lie at 0, 1, ..., 7
    points = np.stack(np.meshgrid(*[np.linspace(-0.5, 7.5, 28)] * 2, indexing="ij"))
    expected = np.stack(
        [map_coordinates(i / 16, points, order=1, mode="nearest") for i in small]
    )
    images = np.concatenate([split.images for split in splits(digits)])[..., 0]
    labels = np.concatenate([split.labels for split in splits(digits)])

    def flat(x):
        return x.reshape(len(x), -1).astype(np.float64)

    a, b = flat(expected), flat(images)
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T
    match = squares.argmin(axis=1)
    np.testing.assert_array_equal(np.sort(match), np.arange(1797))
    np.testing.assert_allclose(images[match], expected, atol=1e-6)
    np.testing.assert_array_equal(labels[match], small_labels)


def test_digits_need_no_network(digits, offline, data_dir):
    again = datasets.load("digits")
    np.testing.assert_array_equal(again.test.images, digits.test.images)
    assert not offline and not list(data_dir.iterdir())


def test_tfds_with_a_test_split(data_dir):
    prepare(data_dir, "MagnetWithTest", {"train": 50, "test": 7})
    dataset = datasets.load("magnet_with_test")
    np.testing.assert_array_equal(indices(dataset.validation), range(5))
    np.testing.assert_array_equal(indices(dataset.train), range(5, 50))
    np.testing.assert_array_equal(indices(dataset.test), range(50, 57))
    assert dataset.num_classes == 20
    for split in splits(dataset):
        assert split.images.shape[1:] == (20, 20, 3)
        assert split.images.dtype == np.float32 and split.labels.dtype == np.int64
        assert split.images.max() == 1
        np.testing.assert_array_equal(split.labels, indices(split) % 20)


def test_tfds_prepares_what_is_missing(data_dir, monkeypatch):
    builder = define("MagnetCoded", {"train": 10})
    monkeypatch.setitem(registered._DATASET_REGISTRY, "magnet_coded", builder)
    dataset = datasets.load("magnet_coded")
    np.testing.assert_array_equal(indices(dataset.train), range(1, 9))
    assert list((data_dir / "magnet_coded/1.0.0").glob("*train*"))


def test_tfds_at_most_so_many_images_validate(data_dir, monkeypatch):
    monkeypatch.setattr(datasets, "VALIDATION", 3)
    prepare(data_dir, "MagnetLarge", {"train": 50, "test": 7})
    dataset = datasets.load("magnet_large")
    np.testing.assert_array_equal(indices(dataset.validation), range(3))
    np.testing.assert_array_equal(indices(dataset.train), range(3, 50))


def test_tfds_without_a_test_split(data_dir):
    """The last tenth tests, and a tenth of what is left validates."""
    prepare(data_dir, "MagnetTrainOnly", {"train": 50})
    dataset = datasets.load("magnet_train_only")
    np.testing.assert_array_equal(indices(dataset.validation), range(4))
    np.testing.assert_array_equal(indices(dataset.train), range(4, 45))
    np.testing.assert_array_equal(indices(dataset.test), range(45, 50))


def test_tfds_with_a_validation_split_for_a_test_split(data_dir):
    prepare(data_dir, "MagnetValidated", {"train": 20, "validation": 6})
    dataset = datasets.load("magnet_validated")
    np.testing.assert_array_equal(indices(dataset.test), range(20, 26))
    np.testing.assert_array_equal(indices(dataset.validation), range(2))


@pytest.mark.parametrize(
    ("name", "counts", "features", "message"),
    [
        ("MagnetUnlabelled", {"train": 9}, {"label": None}, "integer label"),
        (
            "MagnetRegression",
            {"train": 9},
            {"label": tfds.features.Scalar(tf.float32)},
            "integer label",
        ),
        ("MagnetUnequal", {"train": 9}, {"shape": (None, 20, 3)}, "all of one size"),
        (
            "MagnetDeep",
            {"train": 9},
            {"image": tfds.features.Image(shape=(20, 20, 3), dtype=np.uint16)},
            "uint16 images, not 8-bit",
        ),
        ("MagnetUntrained", {"test": 9}, {}, "no training split"),
    ],
)
def test_tfds_that_cannot_serve(data_dir, name, counts, features, message):
    prepare(data_dir, name, counts, **features)
    with pytest.raises(datasets.DatasetError, match=message):
        datasets.load(name.replace("Magnet", "magnet_").lower())


def test_unknown_name(data_dir):
    with pytest.raises(datasets.DatasetError, match="no dataset 'magnet_nowhere'"):
        datasets.load("magnet_nowhere")


@pytest.mark.parametrize("name", ["mnist", "emnist/letters"])
def test_offline(name, data_dir, offline):
    """One sentence that says where it looked and what to do, and it comes at once."""
    with pytest.raises(datasets.DatasetError, match="--dataset=digits") as raised:
        datasets.load(name)
    assert f"is not in {data_dir} and" in str(raised.value)
    assert "TFDS_DATA_DIR" in str(raised.value) and "\n" not in str(raised.value)
    assert downloader.MAX_RETRIES == 0  # or TFDS would try for minutes


def test_offline_with_the_data_at_hand(data_dir, offline):
    prepare(data_dir, "MagnetAtHand", {"train": 10})
    assert len(datasets.load("magnet_at_hand").train.labels) == 8


def test_mnist_is_split_as_in_the_paper(mnist):
    assert [len(split.labels) for split in splits(mnist)] == [55000, 5000, 10000]
    images, labels = tfds.as_numpy(
        tfds.load("mnist", split="train[:5100]", as_supervised=True, batch_size=-1)
    )
    np.testing.assert_array_equal(mnist.validation.labels, labels[:5000])
    np.testing.assert_array_equal(mnist.train.labels[:100], labels[5000:])
    np.testing.assert_array_equal(
        np.rint(mnist.train.images[:100] * 255), images[5000:]
    )
    assert mnist.train.images.dtype == np.float32 and mnist.num_classes == 10
