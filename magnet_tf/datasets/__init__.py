"""Images and labels: the digits, a sample of MNIST, any TFDS dataset."""

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
from magnet_tf.datasets.published import published_order
from magnet_tf.datasets.tfds import load_prepared, load_tfds

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
            "cifar10", or the path of a folder that TFDS prepared.

    Returns:
        A `Dataset` of float32 images [N, H, W, C] in [0, 1] and int64 labels.

    Raises:
        DatasetError: the name is unknown, the data is neither here nor can be downloaded,
            or it is not 8-bit images of one size with integer labels.
    """
    name = os.fspath(name)
    if name in BUNDLED:
        return BUNDLED[name]()
    path = Path(name).expanduser()
    if (path / "dataset_info.json").exists():
        return load_prepared(path)
    return load_tfds(name)
