"""Images and labels by name: any TFDS image classification dataset, and the digits.

`digits` ships with the package: the UCI handwritten digits as scikit-learn distributes them
(E. Alpaydin and C. Kaynak 1998, https://doi.org/10.24432/C50P49, CC BY 4.0).
"""

import importlib.resources
import socket
import urllib.request
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from magnet_tf.errors import UserError

VALIDATION = 5000  # MagNet's split: so many first training images validate


class DatasetError(UserError, RuntimeError):
    """A dataset is unknown, cannot be had here, or does not classify images of one size."""


class Split(NamedTuple):
    """Images, float32 [N, H, W, C] in [0, 1], and their labels, int64 [N]."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Dataset:
    """A dataset's three splits, and what is known of it.

    Attributes:
        name: as `load` takes it.
        train: what models learn from.
        validation: what thresholds are set on; nothing is trained on it.
        test: what is attacked.
        num_classes: K; labels are 0 to K - 1.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    num_classes: int

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.test.images.shape[1:]

    @property
    def like(self) -> str:
        """The dataset whose architectures, recipes, variants and kappas it is given.

        Itself, where it has its own; else MNIST for images of one channel, CIFAR-10 for
        those of more.
        """
        if self.name in ("mnist", "cifar10", "digits"):
            return self.name
        return "mnist" if self.image_shape[-1] == 1 else "cifar10"


def load(name: str) -> Dataset:
    """Loads a dataset, downloading it through TFDS where that is needed.

    As in the original's `setup_mnist.py`, the first 5,000 training images validate (a tenth,
    where there are fewer than 50,000) and the rest is trained on. A dataset without a test
    split is tested on its validation split or, failing that, on its last tenth.

    Args:
        name: "digits", or the name of a TFDS dataset such as "mnist" or "cifar10".

    Returns:
        A `Dataset` of float32 images [N, H, W, C] in [0, 1] and int64 labels.

    Raises:
        DatasetError: the name is unknown, the data is neither here nor can be downloaded,
            or it is not 8-bit images of one size with integer labels.
    """
    return load_digits() if name == "digits" else load_tfds(name)


def load_digits() -> Dataset:
    """The 1,797 digits as 28x28x1 images, split 1,097 / 300 / 400, always the same way.

    The originals are 8x8 with values up to 16; they are enlarged by linear interpolation,
    so that MNIST's architectures serve unchanged.
    """
    with (
        importlib.resources.files("magnet_tf")
        .joinpath("data/digits.npz")
        .open("rb") as file
    ):
        archive = np.load(file, allow_pickle=False)
        small, labels = archive["images"] / 16, archive["labels"].astype(np.int64)
    corners = np.linspace(-0.5, 7.5, 28)
    enlarge = np.stack(
        [np.interp(corners, np.arange(8), basis) for basis in np.eye(8)], axis=1
    )
    images = (enlarge @ small @ enlarge.T)[..., np.newaxis].astype(np.float32)
    # RandomState's stream is frozen for ever, unlike default_rng's
    order = np.random.RandomState(0).permutation(len(images))
    train, validation, test = (
        Split(images[part], labels[part]) for part in np.split(order, [1097, 1397])
    )
    return Dataset("digits", train, validation, test, num_classes=10)


def load_tfds(name: str) -> Dataset:
    """A TFDS dataset by name, see `load`."""
    builder = _prepared(name)
    features, splits = builder.info.features, builder.info.splits
    supervised = builder.info.supervised_keys
    if not supervised or not hasattr(features[supervised[1]], "num_classes"):
        raise DatasetError(
            f"TFDS dataset {name!r} does not have one integer label an image."
        )
    shape = features[supervised[0]].shape
    if len(shape) != 3 or None in shape:
        raise DatasetError(
            f"TFDS dataset {name!r} has images of shape {shape}; "
            "this needs images [H, W, C] that are all of one size."
        )
    if "train" not in splits:
        raise DatasetError(
            f"TFDS dataset {name!r} has no training split, only {list(splits)}."
        )
    whole = _read(builder, "train")
    if test_name := next(
        (split for split in ("test", "validation") if split in splits), None
    ):
        test = _read(builder, test_name)
    else:
        whole, test = _cut(whole, -max(1, len(whole.labels) // 10))
    validation, train = _cut(whole, min(VALIDATION, max(1, len(whole.labels) // 10)))
    num_classes = features[supervised[1]].num_classes
    return Dataset(name, train, validation, test, num_classes)


def _prepared(name: str):
    """The dataset's TFDS builder, its files downloaded and prepared."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import downloader

    try:
        builder = tfds.builder(name)
    except Exception as error:
        raise DatasetError(
            f"there is no dataset {name!r}: expected 'digits' or a TFDS dataset such as 'mnist' "
            f"or 'cifar10' (TFDS says: {_first_line(error)})."
        ) from error
    offline = _offline()
    if offline:  # each file would be asked for again and again, for minutes
        downloader.MAX_RETRIES = 0
    try:
        builder.download_and_prepare()
    except Exception as error:
        reason = "there is no network" if offline else _first_line(error)
        raise DatasetError(
            f"dataset {name!r} is not in {builder.data_dir_root} and could not "
            f"be downloaded: {reason}. Connect to the network, or set TFDS_DATA_DIR to a "
            "folder where TFDS has prepared it, or use --dataset=digits, which needs "
            "neither."
        ) from error
    return builder


def _read(builder, split: str) -> Split:
    import tensorflow_datasets as tfds

    data = builder.as_dataset(
        split=split, as_supervised=True, batch_size=-1, shuffle_files=False
    )
    images, labels = tfds.as_numpy(data)
    if images.dtype != np.uint8:
        raise DatasetError(
            f"TFDS dataset {builder.name!r} has {images.dtype} images, not 8-bit."
        )
    return Split(images.astype(np.float32) / 255, labels.astype(np.int64))


def _cut(split: Split, at: int) -> tuple[Split, Split]:
    return (
        Split(split.images[:at], split.labels[:at]),
        Split(split.images[at:], split.labels[at:]),
    )


def _offline() -> bool:
    """Whether no host can be looked up and no proxy would do it."""
    try:
        return not (
            urllib.request.getproxies() or socket.getaddrinfo("www.tensorflow.org", 443)
        )
    except OSError:
        return True


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
