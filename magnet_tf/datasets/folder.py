"""A user's own images in a folder, with a folder for each class."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import PIL.Image

from magnet_tf.datasets.dataset import (
    Dataset,
    DatasetError,
    Split,
    divided,
    name_of,
    shuffled,
)

SUFFIXES = (".png", ".jpg", ".jpeg")
UNSEEN = ("thumbs.db", "desktop.ini")  # which Windows leaves in folders
TESTS = ("test", "validation", "val")  # the first of them that is there
GREY = ("1", "L", "LA")  # Pillow's modes of up to 8 bits a channel; alpha is left out
COLOUR = ("RGB", "RGBA", "P", "PA", "CMYK", "YCbCr", "LAB", "HSV")


class Header(NamedTuple):
    """What an image file says of itself: pixels, and whether it is grey."""

    height: int
    width: int
    grey: bool


def load_folder(path: Path) -> Dataset:
    """A dataset from a folder of PNG and JPEG images.

    Args:
        path: of a folder `<class>/<image>`, or of one `train/<class>/<image>` with `test` (or
            `validation` or `val`) beside `train`, as TFDS's `ImageFolder` has them. Hidden
            files are left out.

    Returns:
        Images of one channel where all files are grey, else of three; alpha is left out.
        Classes count from 0 in the order of their names. Training images come in an order
        that is drawn once and for all, and the last tenth tests where no folder does.

    Raises:
        DatasetError: the folder is missing, empty or laid out otherwise, a file is not an
            image, or their sizes differ.
    """
    if not path.is_dir():
        raise DatasetError(
            f"{path} is not a folder of images; expected one with a folder for each class, "
            "or an .npz file."
        )
    train, test = path, None
    if (path / "train").is_dir() and _folders(
        path / "train"
    ):  # not a class of that name
        train = path / "train"
        test = next((p for name in TESTS if (p := path / name).is_dir()), None)
        for entry in _folders(path):
            if entry.name not in ("train", *TESTS):
                raise DatasetError(
                    f"{entry} is beside a folder train of class folders, and is not one of "
                    f"{', '.join(TESTS)}; move it into one of these, or take it away."
                )
    classes = [folder.name for folder in _folders(train)]
    if not classes:
        raise DatasetError(
            f"{train} holds no folders; expected one for each class, with PNG or JPEG images."
        )
    files, labels = _listed(train, classes)
    test_files, test_labels = _listed(test, classes) if test else ([], [])
    headers = [_header(file) for file in files + test_files]
    for file, header in zip(files + test_files, headers):
        if header[:2] != headers[0][:2]:
            raise DatasetError(
                f"{file} has {header.height}x{header.width} pixels, {files[0]} "
                f"{headers[0].height}x{headers[0].width}; expected one size: resize them."
            )
    grey = all(header.grey for header in headers)
    return divided(
        name_of(path),
        shuffled(_read(files, labels, grey)),
        _read(test_files, test_labels, grey) if test else None,
        len(classes),
        path,
    )


def _visible(folder: Path) -> list[Path]:
    return sorted(
        entry
        for entry in folder.iterdir()
        if not entry.name.startswith(".") and entry.name.lower() not in UNSEEN
    )


def _folders(folder: Path) -> list[Path]:
    return [entry for entry in _visible(folder) if entry.is_dir()]


def _listed(folder: Path, classes: Sequence[str]) -> tuple[list[Path], list[int]]:
    """The images of a folder of class folders, and their labels."""
    files: list[Path] = []
    labels: list[int] = []
    for entry in _visible(folder):
        if entry.is_file() and entry.suffix.lower() in SUFFIXES:
            raise DatasetError(
                f"{entry} lies outside of the folders of the classes; move it into one."
            )
        if not entry.is_dir():
            continue  # a list of the classes, a licence
        if entry.name not in classes:
            raise DatasetError(
                f"{entry} is a class that the training images lack; they have "
                f"{', '.join(classes)}."
            )
        images = _visible(entry)
        if not images:
            raise DatasetError(
                f"{entry} is empty; expected PNG or JPEG images, or no such folder."
            )
        for image in images:
            if image.suffix.lower() not in SUFFIXES or image.is_dir():
                raise DatasetError(
                    f"{image} is not a PNG or JPEG image; convert it, or take it away from "
                    "there."
                )
        files += images
        labels += [classes.index(entry.name)] * len(images)
    return files, labels


def _header(file: Path) -> Header:
    try:
        with PIL.Image.open(file, formats=("PNG", "JPEG")) as image:
            mode, (width, height) = image.mode, image.size
    except Exception as error:  # Pillow raises many kinds
        raise _damaged(file) from error
    if mode not in GREY + COLOUR:
        raise DatasetError(
            f"{file} has more than 8 bits a channel (Pillow's mode {mode}); save it with 8."
        )
    return Header(height, width, mode in GREY)


def _read(files: Sequence[Path], labels: Sequence[int], grey: bool) -> Split:
    color_mode = "grayscale" if grey else "rgb"
    images = []
    for file in files:
        try:
            image = keras.utils.load_img(file, color_mode=color_mode)
            images.append(np.asarray(image, np.uint8))
        except Exception as error:  # Pillow raises many kinds
            raise _damaged(file) from error
    stacked = np.stack(images).astype(np.float32) / 255
    return Split(
        stacked[..., np.newaxis] if grey else stacked, np.array(labels, np.int64)
    )


def _damaged(file: Path) -> DatasetError:
    return DatasetError(
        f"{file} cannot be read as a PNG or JPEG image; save it again, or take it away from "
        "there."
    )
