"""What an evaluation measures: MagNet's four accuracies, success rates and their intervals."""

from typing import NamedTuple

import numpy as np


class Accuracies(NamedTuple):
    """Shares of N inputs that are handled rightly, by how much of MagNet is used.

    `AttackEvaluator` and `Evaluator` in the original. An attacked input is handled rightly,
    too, when a detector rejects it; a clean one is not.
    """

    none: float
    detector: float
    reformer: float
    both: float


def accuracies(
    right: np.ndarray, right_healed: np.ndarray, passed: np.ndarray, attacked: bool
) -> Accuracies:
    """The four accuracies over N inputs.

    Args:
        right: bool [N], the undefended classifier is right.
        right_healed: bool [N], it is right of the healed images.
        passed: bool [N], the input passes all detectors.
        attacked: whether the inputs are adversarial examples.
    """

    def detected(right: np.ndarray) -> float:
        return float(
            1 - np.mean(passed & ~right) if attacked else np.mean(passed & right)
        )

    return Accuracies(
        none=float(np.mean(right)),
        detector=detected(right),
        reformer=float(np.mean(right_healed)),
        both=detected(right_healed),
    )


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


def mean_over(values: np.ndarray, chosen: np.ndarray) -> float | None:
    """The mean of the chosen values, None where there are none."""
    return float(values[chosen].mean()) if chosen.any() else None
