"""Training images shifted, flipped and partly blanked at random."""

import numpy as np

GREY = 0.5  # what is blanked


def augmented(
    images: np.ndarray, rng: np.random.Generator, cutout: int | None = None
) -> np.ndarray:
    """Images [N, H, W, C] shifted by up to a tenth, edges repeated, and flipped at random.

    `ImageDataGenerator` with its 'nearest' filling in the original's `train_models.py`, here
    by whole pixels.

    Args:
        images: in [0, 1].
        rng: draws.
        cutout: side of a square that is made grey in each, at a place drawn anew; some of it
            may lie outside (DeVries & Taylor 2017, arXiv 1708.04552). None: none.
    """
    count, height, width, _ = images.shape
    down, right = height // 10, width // 10
    rows = np.arange(height) + rng.integers(-down, down + 1, (count, 1))
    columns = np.arange(width) + rng.integers(-right, right + 1, (count, 1))
    columns = np.where(rng.random((count, 1)) < 0.5, columns[:, ::-1], columns)
    result = images[
        np.arange(count)[:, None, None],
        rows.clip(0, height - 1)[:, :, None],
        columns.clip(0, width - 1)[:, None, :],
    ]
    if cutout:
        across_rows, across_columns = (
            _within(rng.integers(0, size, (count, 1)), cutout, size)
            for size in (height, width)
        )
        result[across_rows[:, :, None] & across_columns[:, None, :]] = GREY
    return result


def _within(center: np.ndarray, length: int, size: int) -> np.ndarray:
    """Which places of a side lie in a stretch about a center, bool [N, size]."""
    first = center - length // 2
    place = np.arange(size)
    return (first <= place) & (place < first + length)
