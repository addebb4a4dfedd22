"""The order of MNIST's published files, which is not the one that TFDS gives."""

import numpy as np


def published_order(split: str, count: int) -> np.ndarray:
    """Where TFDS keeps each image of MNIST, in the order that MNIST is published in.

    TFDS stores examples by the hash of their index, salted with the split's name; the
    original reads the published files, and counts in their order.

    Args:
        split: "train" or "test".
        count: how many images that split has.

    Returns:
        int [count], the places in TFDS's order.
    """
    from tensorflow_datasets.core import hashing

    hasher = hashing.Hasher(split)
    stored = sorted(range(count), key=hasher.hash_key)
    return np.argsort(stored)
