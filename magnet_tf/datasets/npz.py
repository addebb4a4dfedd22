"""A user's own images and labels in an `.npz` file, as Keras's own datasets have them."""

from pathlib import Path

import numpy as np

from magnet_tf import files
from magnet_tf.datasets.dataset import (
    Dataset,
    DatasetError,
    Split,
    divided,
    name_of,
    shuffled,
)
from magnet_tf.errors import first_line

KEYS = ("x_train", "y_train", "x_test", "y_test")


def load_npz(path: Path) -> Dataset:
    """A dataset from an `.npz` file.

    Args:
        path: of a file with `x_train` and `x_test`, images [N, H, W] or [N, H, W, C], 8-bit or
            floats in [0, 1], and `y_train` and `y_test`, integers [N] or [N, 1] from 0 on.

    Returns:
        Its images in the file's order, of which the first validate; in one drawn once and for
        all where the file has them class by class.

    Raises:
        DatasetError: there is no such file, it is damaged, an array is missing, or one is not
            as described; nothing in it is unpickled.
    """
    arrays = _arrays(path)
    train, test = (
        Split(
            _images(arrays[f"x_{part}"], f"{path}: x_{part}"),
            _labels(arrays[f"y_{part}"], f"{path}: y_{part}"),
        )
        for part in ("train", "test")
    )
    for part, split in (("train", train), ("test", test)):
        if len(split.images) != len(split.labels):
            raise DatasetError(
                f"{path}: x_{part} has {len(split.images)} images, y_{part} "
                f"{len(split.labels)} labels; expected one label an image."
            )
    if train.images.shape[1:] != test.images.shape[1:]:
        raise DatasetError(
            f"{path}: x_train has images of shape {train.images.shape[1:]}, x_test of "
            f"{test.images.shape[1:]}; expected one size."
        )
    num_classes = _num_classes(train.labels, test.labels, path)
    if (np.diff(train.labels) >= 0).all():  # or only one class would validate
        train = shuffled(train)
    return divided(name_of(path), train, test, num_classes, path)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise DatasetError(f"{path} does not exist, or is not a file.")
    key = None
    try:
        with np.load(path, allow_pickle=False) as archive:
            if missing := [key for key in KEYS if key not in archive]:
                raise DatasetError(
                    f"{path} lacks {', '.join(missing)}; expected the arrays "
                    f"{', '.join(KEYS)}, as np.savez_compressed(path, x_train=...) writes."
                )
            arrays = {}
            for key in KEYS:
                arrays[key] = archive[key]
            return arrays
    except files.DAMAGE as error:
        if isinstance(error, DatasetError):
            raise
        if key and "allow_pickle" in str(error):
            raise DatasetError(
                f"{path}: {key} is pickled, as NumPy does with lists of arrays of several "
                "sizes, and is not read; save one array of numbers, with images of one size."
            ) from error
        what = f"{path}: {key}" if key else f"{path}"
        raise DatasetError(
            f"{what} cannot be read ({first_line(error)}); expected a file by "
            "np.savez_compressed."
        ) from error


def _images(x: np.ndarray, what: str) -> np.ndarray:
    """Images as float32 [N, H, W, C] in [0, 1]; `what` names them in a refusal."""
    if x.ndim not in (3, 4) or not x.size:
        raise DatasetError(
            f"{what} has the shape {x.shape}; expected images [N, H, W] or [N, H, W, C]."
        )
    if x.ndim == 4 and x.shape[1] in (1, 3) and x.shape[3] > 4:
        raise DatasetError(
            f"{what} has the shape {x.shape}, which looks like channels first; expected "
            "[N, H, W, C], such as np.moveaxis(x, 1, -1) gives."
        )
    if x.ndim == 3:
        x = x[..., np.newaxis]
    if x.dtype == np.uint8:
        if x.max() <= 1:
            raise DatasetError(
                f"{what} is 8-bit but has no value above {x.max()}; expected 0 to 255, or "
                "floats in [0, 1]."
            )
        return x.astype(np.float32) / 255
    if not np.issubdtype(x.dtype, np.floating):
        raise DatasetError(
            f"{what} has the type {x.dtype}; expected 8-bit images (np.uint8) or floats "
            "in [0, 1]."
        )
    low, high = x.min(), x.max()
    if not (low >= 0 and high <= 1):  # NaN is neither
        raise DatasetError(
            f"{what} has values from {low:g} to {high:g}; expected floats in [0, 1] "
            "(x / 255 for 8 bits), or 8-bit images (np.uint8)."
        )
    return x.astype(np.float32)


def _labels(y: np.ndarray, what: str) -> np.ndarray:
    """Labels as int64 [N]; `what` names them in a refusal."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]  # as Keras's CIFAR-10 has them
    if y.ndim != 1:
        raise DatasetError(
            f"{what} has the shape {y.shape}; expected one integer an image, [N] (for one-hot "
            "labels y.argmax(axis=1))."
        )
    if y.dtype.kind not in "iu":
        raise DatasetError(
            f"{what} has the type {y.dtype}; expected integers from 0 on (such as "
            "np.unique(y, return_inverse=True)[1] gives)."
        )
    return y.astype(np.int64)


def _num_classes(train: np.ndarray, test: np.ndarray, path: Path) -> int:
    known = np.unique(np.concatenate([train, test]))
    if not np.array_equal(known, np.arange(len(known))):
        found = f"from {known[0]} to {known[-1]}"
        if known[0] == 0:
            missing = np.setdiff1d(np.arange(len(known)), known)[0]
            found += f", and none is {missing}"
        raise DatasetError(
            f"{path}: the labels run {found}; expected every class from 0 to K - 1 "
            + (
                "(y - 1)."
                if known[0] == 1
                else "(np.unique(y, return_inverse=True)[1])."
            )
        )
    if missing := sorted(set(test.tolist()) - set(train.tolist())):
        raise DatasetError(
            f"{path}: y_test has the class {missing[0]}, of which y_train has no image; "
            "expected every class in both, or in y_train alone."
        )
    return len(known)
