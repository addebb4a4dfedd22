"""Adversarial examples on disk: the original's pickles, and NumPy's `.npz` and `.npy`."""

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from magnet_tf import legacy
from magnet_tf.errors import UserError

ROUNDING = 1e-3  # by so much float32 may leave tanh's range, and the box
KAPPA = re.compile(r"_(\d+(?:\.\d+)?)$")  # at the end of a file's name
SAVE_IT = "save it with np.savez(path, images=..., labels=...)"


class AttackFileError(UserError, ValueError):
    """A file does not hold adversarial examples or labels; the message names it."""


@dataclass(frozen=True)
class AttackFile:
    """The adversarial examples of a file.

    Attributes:
        path: of the file.
        images: float32 [N, H, W, C] in [0, 1].
        labels: the true classes, int64 [N]; None where it has none.
    """

    path: Path
    images: np.ndarray
    labels: np.ndarray | None = None

    @property
    def name(self) -> str:
        """Of the attack: the file's name without suffix and confidence."""
        return KAPPA.sub("", self.path.stem)

    @property
    def confidence(self) -> float | None:
        """Kappa, at the end of the file's name as the original has it: `..._10.0.pkl`."""
        kappa = KAPPA.search(self.path.stem)
        return float(kappa[1]) if kappa else None

    @property
    def failed(self) -> np.ndarray:
        """bool [N], images of one value: what the attacks' codes give where they failed."""
        flat = self.images.reshape(len(self.images), -1)
        return flat.min(axis=1) == flat.max(axis=1)

    def labelled(self, path: Path) -> "AttackFile":
        """With the labels of a `.npy` or `.pkl`, unless it has its own.

        Raises:
            AttackFileError, LegacyError: as `load`.
        """
        if self.labels is not None:
            return self
        labels = check_labels(path, array(path), len(self.images))
        return dataclasses.replace(self, labels=labels)


def load(path: Path) -> AttackFile:
    """The adversarial examples of a file.

    Args:
        path: of a `.npz` with `images` and `labels`, of a `.npy` with images, or of a `.pkl`
            with images, as the original pickled them.

    Raises:
        AttackFileError: the file is missing, damaged or of another kind, or its images or
            labels are not as an `AttackFile` has them.
        LegacyError: it is a pickle of something else than one array of numbers.
    """
    if path.suffix != ".npz":
        return AttackFile(path, _images(path, array(path)))
    arrays = _numpy(path)
    for key in ("images", "labels"):
        if key not in arrays:
            raise AttackFileError(
                f"{path} must hold 'images' and 'labels', has {sorted(arrays)}; {SAVE_IT}."
            )
    images = _images(path, arrays["images"])
    return AttackFile(path, images, check_labels(path, arrays["labels"], len(images)))


def check_labels(path: Path, labels: np.ndarray, count: int) -> np.ndarray:
    """Labels as int64 [count]; raises AttackFileError where they are no such thing."""
    if labels.ndim == 2 and len(labels) == count:
        raise AttackFileError(
            f"{path} must hold the labels as integers [N], got shape {labels.shape}: of "
            "one-hot labels save labels.argmax(axis=1)."
        )
    if labels.shape != (count,):
        raise AttackFileError(
            f"{path} must hold one label for each of {count} images, got an array of shape "
            f"{labels.shape}."
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise AttackFileError(
            f"{path} must hold the labels as integers, got {labels.dtype}."
        )
    if labels.min() < 0:
        raise AttackFileError(
            f"{path} must hold labels of at least 0, got {labels.min()}."
        )
    return labels.astype(np.int64)


def _images(path: Path, images: np.ndarray) -> np.ndarray:
    """Images as float32 in [0, 1]."""
    if images.ndim != 4 or not images.size:
        raise AttackFileError(
            f"{path} must hold images [N, H, W, C], got an array of shape {images.shape}."
        )
    if not np.issubdtype(images.dtype, np.floating):
        raise AttackFileError(
            f"{path} must hold images as floats in [0, 1], got {images.dtype}; divide "
            "8-bit images by 255."
        )
    if not np.isfinite(images).all():
        raise AttackFileError(
            f"{path} must hold images in [0, 1], got NaN or infinite values."
        )
    low, high = images.min(), images.max()
    if low < -ROUNDING or high > 1 + ROUNDING:
        centred = abs(low) <= 0.5 + ROUNDING and high <= 0.5 + ROUNDING
        raise AttackFileError(
            f"{path} must hold images in [0, 1], got values from {low:g} to {high:g}"
            + ("; add 0.5 to images in [-0.5, 0.5]." if centred else "; rescale them.")
        )
    return images.clip(0, 1).astype(np.float32)


def array(path: Path) -> np.ndarray:
    """The one array of a `.npy` or `.pkl`; raises as `load`."""
    if path.suffix == ".pkl":
        return legacy.load_attack_data(path)
    if path.suffix == ".npy":
        return _numpy(path)[""]
    raise AttackFileError(
        f"{path} must be a .npy or .pkl file with one array, or a .npz with images and "
        "labels."
    )


def _numpy(path: Path) -> dict[str, np.ndarray]:
    """What a NumPy file holds, by name; the array of a `.npy` has none."""
    if not path.is_file():
        raise AttackFileError(f"{path}: there is no such file.")
    try:
        # no pickle: an array of objects would run what the file brings along
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return dict(loaded) if path.suffix == ".npz" else {"": np.array(loaded)}
    except Exception as error:  # NumPy, zipfile and zlib raise many kinds
        raise AttackFileError(
            f"{path} is no {path.suffix} file of numbers, or is damaged "
            f"({' '.join(str(error).split())})."
        ) from error
