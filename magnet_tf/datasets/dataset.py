"""What a dataset is: images and labels in three splits."""

import dataclasses
import functools
import hashlib
import os
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from magnet_tf.errors import UserError

VALIDATION = 5000  # MagNet's split: so many first training images validate
OWN_RECIPES = ("mnist", "fashion_mnist", "cifar10", "digits")
PUBLISHED = ("mnist", "cifar10")  # with MagNet
SAMPLES = {"mnist_sample": "mnist"}  # of which dataset each is a part


class DatasetError(UserError, RuntimeError):
    """A dataset is unknown, cannot be had here, or does not classify images of one size."""


class NoTrainingImagesError(DatasetError):
    """A dataset is there to be attacked, and has nothing to train on."""


class Split(NamedTuple):
    """Images, float32 [N, H, W, C] in [0, 1], and their labels, int64 [N]."""

    images: np.ndarray
    labels: np.ndarray

    def __repr__(self) -> str:
        count, *size = self.images.shape
        return f"<Split: {count:,} images {size}>"

    def at(self, index: np.ndarray | slice) -> "Split":
        """The images and labels at these places."""
        return Split(self.images[index], self.labels[index])

    def copied(self) -> "Split":
        """The same in arrays of its own, so that those which it was a part of may go."""
        return Split(self.images.copy(), self.labels.copy())


@dataclass(frozen=True)
class Dataset:
    """A dataset's three splits, and what is known of it.

    Attributes:
        name: as `load` takes it; for a path its last part, fit for a file's name.
        train: what models learn from; empty in a sample, see `training`.
        validation: what thresholds are set on; nothing is trained on it.
        test: what is attacked.
        num_classes: K; labels are 0 to K - 1.
        path: of the file or folder that it was read from, where it is a user's own; None
            where it is published.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    num_classes: int
    path: Path | None = None

    def __repr__(self) -> str:
        counts = (
            f"{len(split.labels):,} {purpose}"
            for split, purpose in [
                (self.train, "to train on"),
                (self.validation, "to set thresholds on"),
                (self.test, "to attack"),
            ]
        )
        return (
            f"<Dataset {self.name!r}: images {list(self.image_shape)} of "
            f"{self.num_classes} classes, {', '.join(counts)}>"
        )

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C)."""
        return self.test.images.shape[1:]

    @property
    def like(self) -> str:
        """The dataset whose architectures, recipes, variants and kappas it is given.

        Itself, where it has its own, or what it is a sample of; else MNIST for images of one
        channel, CIFAR-10 for those of more.
        """
        if self.zoo in OWN_RECIPES:
            return self.zoo
        return "mnist" if self.image_shape[-1] == 1 else "cifar10"

    @property
    def borrows(self) -> str | None:
        """A sentence on whose recipes it is given, None where it is in MagNet's paper."""
        if self.zoo in PUBLISHED:
            return None
        lender = "CIFAR-10" if self.like == "cifar10" else "MNIST"
        recipes = "" if self.like == self.zoo else "recipes, "
        return (
            f"{self.name} is not in MagNet's paper: its architectures, {recipes}variants and "
            f"values of kappa are {lender}'s."
        )

    @property
    def zoo(self) -> str | None:
        """The dataset whose models, in the zoo or trained, are this one's, too.

        Itself, or what it is a sample of; None for a user's own data, whatever its name.
        """
        return None if self.path else SAMPLES.get(self.name, self.name)

    @functools.cached_property
    def fingerprint(self) -> str | None:
        """What tells a user's own data from other data of that name; None where published.

        The SHA-256 of the images and labels, in hexadecimal: the same images in another file
        have the same one.
        """
        if self.path is None:
            return None
        digest = hashlib.sha256()
        for split in (self.train, self.validation, self.test):
            for array in split:
                digest.update(f"{array.dtype.str} {array.shape}".encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    @property
    def identity(self) -> str:
        """Its name, and the beginning of its fingerprint where it has one.

        What was made of a dataset, such as a model, says so by this.
        """
        if self.fingerprint is None:
            return self.name
        return f"{self.name} {self.fingerprint[:12]}"

    @property
    def training(self) -> Split:
        """`train`, for those who cannot do without.

        Raises:
            NoTrainingImagesError: it is empty.
        """
        if not len(self.train.labels):
            raise NoTrainingImagesError(
                f"dataset {self.name!r} has no images to train on, only "
                f"{len(self.validation.labels):,} for thresholds and "
                f"{len(self.test.labels):,} to attack; train on another one, such as "
                f"{self.zoo or 'mnist'!r} or 'digits'."
            )
        return self.train

    def without_training(self) -> "Dataset":
        """The same with no images to train on, which take most of its memory."""
        nothing = self.train.at(slice(0)).copied()
        return dataclasses.replace(
            self, train=nothing, validation=self.validation.copied()
        )


def divided(
    name: str,
    train: Split,
    test: Split | None,
    num_classes: int,
    path: Path | None = None,
) -> Dataset:
    """A dataset with MagNet's split of the training images.

    As in the original's `setup_mnist.py`, the first 5,000 validate (a tenth, where there are
    fewer than 50,000) and the rest is trained on.

    Args:
        train: all that are not for testing.
        test: None: the last tenth of `train`.
        name, num_classes, path: as in `Dataset`.

    Raises:
        DatasetError: there is only one class, or too few images for three splits.
    """
    what = path or f"dataset {name!r}"
    if num_classes < 2:
        raise DatasetError(
            f"{what} has a single class; a classifier needs images of two or more."
        )
    count = len(train.labels)
    if test is None:
        train, test = _cut(train, -max(1, count // 10))
        count = len(train.labels)
    validation, train = _cut(train, min(VALIDATION, max(1, count // 10)))
    if not (len(train.labels) and len(test.labels)):
        raise DatasetError(
            f"{what} has too few images; expected at least one each to train on, to set "
            "thresholds on and to test on."
        )
    return Dataset(name, train, validation, test, num_classes, path)


def _cut(split: Split, at: int) -> tuple[Split, Split]:
    return split.at(slice(at)), split.at(slice(at, None))


def shuffled(split: Split) -> Split:
    """The split in an order that is drawn once and for all."""
    # RandomState's stream is frozen for ever, unlike default_rng's
    return split.at(np.random.RandomState(0).permutation(len(split.labels)))


def name_of(path: Path) -> str:
    """A path's last part without its suffix, of what every file system takes in a name."""
    path = Path(os.path.abspath(path))  # "." has no name
    stem = path.name if path.is_dir() else path.stem
    letters = os.fsencode(stem).decode("utf-8", "ignore")  # whatever the locale
    ascii_only = (
        unicodedata.normalize("NFKD", letters).encode("ascii", "ignore").decode()
    )
    return re.sub(r"[^A-Za-z0-9_-]+", "_", ascii_only).strip("_") or "images"
