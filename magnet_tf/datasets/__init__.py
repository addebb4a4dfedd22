"""Images and labels: the digits, a sample of MNIST, any TFDS dataset, a user's own files."""

import os
from pathlib import Path

from magnet_tf.datasets.bundled import load_digits, load_mnist_sample
from magnet_tf.datasets.dataset import (
    VALIDATION,
    Dataset,
    DatasetError,
    NoTrainingImagesError,
    Split,
)
from magnet_tf.datasets.folder import load_folder
from magnet_tf.datasets.npz import load_npz
from magnet_tf.datasets.published import published_order
from magnet_tf.datasets.tfds import knows, load_prepared, load_tfds

__all__ = [
    "VALIDATION",
    "Dataset",
    "DatasetError",
    "NoTrainingImagesError",
    "Split",
    "load",
    "published_order",
]

BUNDLED = {"digits": load_digits, "mnist_sample": load_mnist_sample}


def load(name: str | os.PathLike[str]) -> Dataset:
    """Loads a dataset, downloading it through TFDS where that is needed.

    As in the original's `setup_mnist.py`, the first 5,000 training images validate (a tenth,
    where there are fewer than 50,000) and the rest is trained on. A dataset without a test
    split is tested on its validation split or, failing that, on its last tenth.

    Args:
        name: "digits", "mnist_sample", the name of a TFDS dataset such as "mnist" or
            "cifar10", or a path: of an `.npz` file with `x_train`, `y_train`, `x_test` and
            `y_test`, of a folder of PNG or JPEG images with a folder for each class, or of
            one that TFDS prepared. A name that TFDS publishes is no path; "./mnist" is.

    Returns:
        A `Dataset` of float32 images [N, H, W, C] in [0, 1] and int64 labels.

    Raises:
        DatasetError: the name is unknown, the data is neither here nor can be downloaded,
            or it is not images of one size, 8-bit or floats in [0, 1], with integer labels.
    """
    name = os.fspath(name)
    if name in BUNDLED:
        return BUNDLED[name]()
    path = Path(name).expanduser()
    if path.suffix.lower() == ".npz":
        return load_npz(path)
    if name and path.exists() and not knows(name):
        is_tfds = (path / "dataset_info.json").exists()
        return load_prepared(path) if is_tfds else load_folder(path)
    return load_tfds(name)
