"""What an attack returns."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class AttackResult(NamedTuple):
    """Adversarial examples of N images, and how far they are from them.

    `result.arrays()` is a dict of arrays, for a file; `AttackResult(**arrays)` is the result
    again.

    Attributes:
        adversarial: float32 [N, H, W, C] within the bounds; the image itself where the
            attack failed.
        success: bool [N].
        const: float64 [N], the c at which the example was found; where the attack failed,
            the last c that was tried under the exact search, else without a meaning.
        l1: float64 [N], norm of `adversarial` - image, as are the next two.
        l2: float64 [N].
        linf: float64 [N].
    """

    adversarial: np.ndarray
    success: np.ndarray
    const: np.ndarray
    l1: np.ndarray
    l2: np.ndarray
    linf: np.ndarray

    def __repr__(self) -> str:
        count, *size = self.adversarial.shape
        text = f"success on {int(self.success.sum())} of {count} images {size}"
        if self.success.any():
            means = (
                f"{name} {distance[self.success].mean():.4g}"
                for name, distance in zip(self._fields[3:], self[3:])
            )
            text += f", mean {', '.join(means)}"
        return f"<AttackResult: {text}>"

    def first(self, count: int) -> "AttackResult":
        """The result of the first `count` images."""
        return AttackResult(*(field[:count] for field in self))

    @classmethod
    def joined(cls, parts: Sequence["AttackResult"]) -> "AttackResult":
        """The results of several sets of images, at least one, as that of all of them."""
        return cls(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))

    def arrays(self) -> dict[str, np.ndarray]:
        """{field: array}."""
        return self._asdict()


def measured(
    images: np.ndarray, adversarial: np.ndarray, success: np.ndarray, const: np.ndarray
) -> AttackResult:
    """An `AttackResult` with its distances, failed images put back.

    Args:
        images: float32 [N, H, W, C].
        adversarial: float32 [N, H, W, C].
        success: bool [N].
        const: float64 [N].
    """
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
