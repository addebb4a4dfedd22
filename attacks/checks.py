"""What an attack asks of its inputs, each with one clear error."""

from collections.abc import Callable

import numpy as np


def check_inputs(
    x, labels, bounds: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns images as float32 and labels as int64, or says why they cannot be attacked.

    Raises:
        TypeError: images that are not floats, labels that are not integers.
        ValueError: anything else that is not float [N, H, W, C] in `bounds` and int [N].
    """
    low, high = bounds
    if not low < high:
        raise ValueError(f"bounds must be (low, high) with low < high, got {bounds}.")
    x, labels = np.asarray(x), np.asarray(labels)
    if not np.issubdtype(x.dtype, np.floating):
        raise TypeError(
            f"images must be floats within the bounds {bounds}, got {x.dtype}; "
            "for 8-bit images divide by 255."
        )
    if x.ndim != 4 or not x.size:
        raise ValueError(
            f"images must be a non-empty array [N, H, W, C], got shape {x.shape}."
        )
    if not np.isfinite(x).all():
        raise ValueError("images hold NaN or infinite values; expected finite floats.")
    if x.min() < low or x.max() > high:
        raise ValueError(
            f"images must lie within the bounds {bounds}, got values from {x.min():g} to "
            f"{x.max():g}; rescale them or pass other bounds."
        )
    if labels.ndim == 2 and len(labels) == len(x):
        raise ValueError(
            f"labels must be integers [N], got shape {labels.shape}: "
            "for one-hot labels pass labels.argmax(axis=1)."
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"labels must be integers, got {labels.dtype}.")
    if labels.shape != x.shape[:1]:
        raise ValueError(
            f"{len(x)} images need labels of shape ({len(x)},), got {labels.shape}."
        )
    return x.astype(np.float32, copy=False), labels.astype(np.int64)


def check_classifier(
    classifier: Callable, x: np.ndarray, labels: np.ndarray, batch_size: int
) -> int:
    """The number of classes of a classifier that gives finite logits for the labels.

    Args:
        classifier: from images to logits.
        x: images [N, H, W, C]. labels: int [N]. batch_size: images at a time.

    Raises:
        ValueError: it gives something else.
    """
    parts = [
        np.asarray(classifier(x[start : start + batch_size]))
        for start in range(0, len(x), batch_size)
    ]
    if any(part.ndim != 2 or part.shape[1] < 2 for part in parts) or sum(
        map(len, parts)
    ) != len(x):
        raise ValueError(
            "the classifier must return logits [N, K] with K at least 2, got shape "
            f"{parts[0].shape} for {len(x[:batch_size])} images."
        )
    logits = np.concatenate(parts)
    if logits.dtype != np.float32:
        raise ValueError(
            f"the classifier must return float32 logits, got {logits.dtype}; give its last "
            'layer dtype="float32".'
        )
    if not np.isfinite(logits).all():
        raise ValueError("the classifier returns NaN or infinite logits.")
    if (logits >= 0).all() and np.allclose(logits.sum(axis=1), 1, atol=1e-4):
        raise ValueError(
            "the classifier returns probabilities; the attacks need logits: "
            "remove the softmax from its last layer."
        )
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(
            f"labels must lie in 0..{logits.shape[1] - 1}, the classifier's classes, got "
            f"{labels.min()}..{labels.max()}."
        )
    return logits.shape[1]


def check_settings(**settings: float) -> None:
    """Raises ValueError for settings that are not positive (`confidence`: negative)."""
    for name, value in settings.items():
        allowed = value >= 0 if name in ("confidence", "beta") else value > 0
        if not (allowed and np.isfinite(value)):
            least = "at least" if name in ("confidence", "beta") else "above"
            raise ValueError(f"{name} must be finite and {least} 0, got {value}.")
