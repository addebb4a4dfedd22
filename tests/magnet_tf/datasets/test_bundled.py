"""The digits against their stored originals, the sample against MNIST."""

import hashlib
import importlib.resources

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from magnet_tf import datasets


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


def test_a_dataset_prints_as_a_summary(digits):
    assert repr(digits) == (
        "<Dataset 'digits': images [28, 28, 1] of 10 classes, 1,097 to train on, "
        "300 to set thresholds on, 400 to attack>"
    )
    assert repr(digits.train) == "<Split: 1,097 images [28, 28, 1]>"


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


@pytest.fixture(scope="module")
def sample():
    return datasets.load("mnist_sample")


def test_the_sample_is_mnists_first_images(sample, mnist):
    for part in ("validation", "test"):
        ours, theirs = getattr(sample, part), getattr(mnist, part)
        np.testing.assert_array_equal(ours.images, theirs.images[:1000])
        np.testing.assert_array_equal(ours.labels, theirs.labels[:1000])
        assert ours.images.dtype == np.float32 and ours.labels.dtype == np.int64


def test_the_sample_is_treated_as_mnist(sample):
    assert sample.num_classes == 10 and sample.image_shape == (28, 28, 1)
    assert sample.like == "mnist" and sample.zoo == "mnist"
    assert sample.fingerprint is None and sample.identity == "mnist_sample"


def test_nothing_trains_on_the_sample(sample, digits):
    assert len(sample.train.labels) == 0
    message = "no images to train on, only 1,000 .* such as 'mnist' or 'digits'"
    with pytest.raises(datasets.NoTrainingImagesError, match=message):
        _ = sample.training
    assert digits.training is digits.train


@pytest.mark.parametrize("name", ["digits", "mnist_sample"])
def test_neither_needs_a_network_or_preparation(name, offline, data_dir):
    assert datasets.load(name).test.images.any()
    assert not offline and not list(data_dir.iterdir())


def test_the_sample_is_small_and_says_whose_it_is():
    folder = importlib.resources.files("magnet_tf") / "data"
    assert len((folder / "mnist_sample.npz").read_bytes()) < 500_000
    notice = (folder / "NOTICE.md").read_text(encoding="utf-8")
    for words in ("mnist_sample.npz", "LeCun", "Cortes", "by-sa/3.0"):
        assert words in notice


def test_without_training_images_the_rest_is_as_it_was_and_their_memory_free(digits):
    rest = digits.without_training()
    assert len(rest.train.labels) == 0 and rest.image_shape == digits.image_shape
    for name in ("validation", "test"):
        for ours, theirs in zip(getattr(rest, name), getattr(digits, name)):
            np.testing.assert_array_equal(ours, theirs)
    for split in (rest.train, rest.validation):
        assert split.images.base is None
    with pytest.raises(datasets.NoTrainingImagesError):
        _ = rest.training
