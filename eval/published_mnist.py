"""MNIST in the order of its published files, in which the original's files count.

TFDS keeps the images in another one.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from eval.attack_files import AttackFile, AttackFileError
from magnet_tf import datasets, legacy

# The first test labels in the order of the files that MNIST is published in.
FIRST_LABELS = [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


class MNIST(NamedTuple):
    """MNIST as the original has it.

    Attributes:
        validation: what thresholds are set on.
        test: in the order of the published files, or in that of the examples.
        attacked: indices of the attacked test images, int [N]; None where all examples have
            labels.
    """

    validation: datasets.Split
    test: datasets.Split
    attacked: np.ndarray | None


def load_mnist(directory: Path, attacked: Sequence[AttackFile]) -> MNIST:
    """MNIST in the order in which the original's index counts.

    Args:
        directory: with the original's files.
        attacked: by rising confidence; those without labels go by the index.

    Raises:
        DatasetError: MNIST is not to be had.
        AttackFileError, LegacyError: the index is missing, or is not one of these examples.
    """
    by_index = [file for file in attacked if file.labels is None]
    dataset = datasets.load("mnist")
    if not by_index:
        return MNIST(*in_published_order(dataset), None)
    path = directory / "attack_data/example_idx.pkl"
    index, count = legacy.load_attack_data(path), len(dataset.test.labels)
    if (
        index.ndim != 1
        or not np.issubdtype(index.dtype, np.integer)
        or not ((index >= 0) & (index < count)).all()
    ):
        raise AttackFileError(
            f"{path} must hold indices of MNIST's {count} test images, integers [N], got "
            f"{index.dtype} of shape {index.shape}"
            + (f" from {index.min()} to {index.max()}." if index.size else ".")
        )
    for file in by_index:
        if len(file.images) != len(index):
            raise AttackFileError(
                f"{file.path} must hold one example for each of the {len(index)} indices in "
                f"{path.name}, got {len(file.images)}; of others --labels names the labels."
            )
    return MNIST(*in_order(dataset, by_index[0].images, index), index)


def in_published_order(
    dataset: datasets.Dataset,
) -> tuple[datasets.Split, datasets.Split]:
    """MNIST's validation and test split in the order of the published files.

    Raises:
        DatasetError: TFDS keeps the images in an order that is not known here.
    """
    order = datasets.published_order("test", len(dataset.test.labels))
    test = dataset.test.at(order)
    if test.labels[: len(FIRST_LABELS)].tolist() != FIRST_LABELS:
        raise datasets.DatasetError(
            "this version of TFDS stores MNIST in an order that is not known here, so that "
            "the original's files cannot be used; use tensorflow-datasets 4.9.10."
        )
    images = np.concatenate([dataset.validation.images, dataset.train.images])
    labels = np.concatenate([dataset.validation.labels, dataset.train.labels])
    order = datasets.published_order("train", len(labels))[: datasets.VALIDATION]
    return datasets.Split(images[order], labels[order]), test


def in_order(
    dataset: datasets.Dataset, examples: np.ndarray, index: np.ndarray
) -> tuple[datasets.Split, datasets.Split]:
    """Validation and test split in the order that the attack's indices count in.

    It is the published order or, for files made from TFDS, TFDS's own: the one in which the
    examples are near the images that they were made of.

    Args:
        dataset: MNIST.
        examples: [N, 28, 28, 1], the attack at its lowest confidence.
        index: int [N], of the attacked test images.
    """

    def distance(test: datasets.Split) -> float:
        difference = examples - test.images[index]
        return float(np.median(np.sqrt((difference**2).sum(axis=(1, 2, 3)))))

    published = in_published_order(dataset)
    if distance(dataset.test) < distance(published[1]):
        return dataset.validation, dataset.test
    return published
