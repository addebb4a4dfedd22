"""Success rates and their intervals, and mean distances."""

import numpy as np


def wilson_interval(share: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of `count` trials.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference",
    Journal of the American Statistical Association 22, 1927.
    """
    z = 1.959964
    center = share + z**2 / (2 * count)
    radius = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    scale = 1 + z**2 / count
    return max(0.0, float((center - radius) / scale)), min(
        1.0, float((center + radius) / scale)
    )


def share_of(success: np.ndarray) -> tuple[float | None, float | None, float | None]:
    """The share of successes, bool [N], and its 95 % interval; None where N is 0."""
    if not len(success):
        return None, None, None
    share = float(success.mean())
    return share, *wilson_interval(share, len(success))


def mean_over(values: np.ndarray, chosen: np.ndarray) -> float | None:
    """The mean of the chosen values, None where there are none."""
    return float(values[chosen].mean()) if chosen.any() else None


def margins(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """By how much the largest other logit is above the label's: [N, K], int [N] -> [N]."""
    own = np.arange(logits.shape[1]) == labels[:, None]
    return np.where(own, -np.inf, logits).max(axis=1) - logits[own]
