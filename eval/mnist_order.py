"""MNIST in the order that it is published in, which the original's files count in.

TFDS keeps the images in another one.
"""

import numpy as np

from magnet_tf import datasets

# The first test labels in the order of the files that MNIST is published in.
FIRST_LABELS = [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


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
