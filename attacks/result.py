"""What an attack returns."""

from typing import NamedTuple

import numpy as np


class AttackResult(NamedTuple):
    """Adversarial examples of N images, and how far they are from them.

    Attributes:
        adversarial: float32 [N, H, W, C] within the bounds; the image itself where the
            attack failed.
        success: bool [N].
        const: float64 [N], the c at which the example was found; where the attack failed,
            the last c that was tried.
        l1, l2, linf: float64 [N], norms of `adversarial` - image.
    """

    adversarial: np.ndarray
    success: np.ndarray
    const: np.ndarray
    l1: np.ndarray
    l2: np.ndarray
    linf: np.ndarray


def measured(
    images: np.ndarray, adversarial: np.ndarray, success: np.ndarray, const: np.ndarray
) -> AttackResult:
    """An `AttackResult` with its distances, failed images put back."""
    adversarial = np.where(success[:, None, None, None], adversarial, images)
    distance = np.abs(adversarial.astype(np.float64) - images).reshape(len(images), -1)
    return AttackResult(
        adversarial=adversarial,
        success=success,
        const=const,
        l1=distance.sum(axis=1),
        l2=np.sqrt((distance**2).sum(axis=1)),
        linf=distance.max(axis=1),
    )
