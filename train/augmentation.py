"""Training images shifted and flipped at random."""

import numpy as np


def augmented(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Images [N, H, W, C] shifted by up to a tenth, edges repeated, and flipped at random.

    `ImageDataGenerator` with its 'nearest' filling in the original's `train_models.py`, here
    by whole pixels.
    """
    count, height, width, _ = images.shape
    down, right = height // 10, width // 10
    rows = np.arange(height) + rng.integers(-down, down + 1, (count, 1))
    columns = np.arange(width) + rng.integers(-right, right + 1, (count, 1))
    columns = np.where(rng.random((count, 1)) < 0.5, columns[:, ::-1], columns)
    return images[
        np.arange(count)[:, None, None],
        rows.clip(0, height - 1)[:, :, None],
        columns.clip(0, width - 1)[:, None, :],
    ]
