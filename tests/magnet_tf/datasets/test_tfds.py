"""TFDS datasets against made-up ones, and MNIST's published order."""

import re

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core import registered
from tensorflow_datasets.core.download import downloader

from magnet_tf import datasets


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


def splits(dataset):
    return dataset.train, dataset.validation, dataset.test


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
    monkeypatch.setattr(datasets.dataset, "VALIDATION", 3)
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
        datasets.load(re.sub("(?<=.)([A-Z])", r"_\1", name).lower())


def test_unknown_name(data_dir):
    with pytest.raises(datasets.DatasetError, match="no dataset 'magnet_nowhere'"):
        datasets.load("magnet_nowhere")


@pytest.mark.parametrize("name", ["mnist", "emnist/letters"])
def test_offline(name, data_dir, offline):
    """One sentence that says where it looked and what to do, and it comes at once."""
    with pytest.raises(datasets.DatasetError, match="or take 'digits'") as raised:
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


def store(data_dir, name: str, **features) -> None:
    """A dataset by TFDS's own tool: 50 images as `image_of`, and a text for each."""
    kinds = {
        "picture": tfds.features.Image(shape=(20, 20, 3)),
        "kind": tfds.features.ClassLabel(num_classes=20),
        "text": tfds.features.Text(),
        **features,
    }
    examples = [
        (i, {"picture": image_of(i), "kind": i % 20, "text": "x" * i})
        for i in range(50)
    ]
    tfds.dataset_builders.store_as_tfds_dataset(
        name,
        "1.0.0",
        tfds.features.FeaturesDict(kinds),
        {"train": examples},
        data_dir=data_dir,
        disable_shuffling=True,
    )


@pytest.mark.parametrize("shape", [(20, 20, 3), (None, None, 3)])
def test_what_store_as_tfds_dataset_made(shape, data_dir):
    """It has no supervised keys: the image and the label are found by their kind."""
    store(data_dir, "my_own", picture=tfds.features.Image(shape=shape))
    dataset = datasets.load("my_own")
    assert dataset.name == "my_own" and dataset.num_classes == 20
    np.testing.assert_array_equal(indices(dataset.validation), range(4))
    np.testing.assert_array_equal(indices(dataset.train), range(4, 45))
    np.testing.assert_array_equal(indices(dataset.test), range(45, 50))
    np.testing.assert_array_equal(dataset.test.labels, np.arange(45, 50) % 20)

    by_path = datasets.load(data_dir / "my_own/1.0.0")
    assert by_path.name == "my_own" and by_path.fingerprint == dataset.fingerprint
    np.testing.assert_array_equal(by_path.train.images, dataset.train.images)


def test_data_of_ones_own_in_tfds_has_a_fingerprint(data_dir):
    store(data_dir, "my_own")
    dataset = datasets.load("my_own")
    assert dataset.zoo is None and dataset.like == "cifar10"
    assert dataset.identity == f"my_own {dataset.fingerprint[:12]}"


def test_without_a_class_label_it_is_refused(data_dir):
    store(data_dir, "no_label", kind=tfds.features.Scalar(tf.int64))
    message = "its features are kind, picture, text; the label must be a ClassLabel"
    with pytest.raises(datasets.DatasetError, match=message):
        datasets.load("no_label")


def test_a_folder_that_only_looks_prepared(data_dir):
    (data_dir / "dataset_info.json").write_text("{}", encoding="utf-8")
    with pytest.raises(datasets.DatasetError, match="cannot be read as a dataset that"):
        datasets.load(data_dir)


def test_mnists_published_order(mnist):
    """The first labels of the published files are known from their documentation."""
    test = mnist.test.at(datasets.published_order("test", 10000))
    assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    labels = np.concatenate([mnist.validation.labels, mnist.train.labels])
    order = datasets.published_order("train", 60000)
    assert labels[order][:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    np.testing.assert_array_equal(np.sort(order), np.arange(60000))
