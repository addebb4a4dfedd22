"""What every search shares: images in chunks of one size, checked, solved and verified.

A search is how c, the weight of the hinge, is found: `attacks.exact` as published; at every
iteration `attacks.primal_dual` for EAD, `attacks.minimum_norm` for the least distance.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from tqdm.auto import tqdm

from attacks.checks import (
    check_choice,
    check_classifier,
    check_constraints,
    check_inputs,
    check_numbers,
    check_settings,
)
from attacks.result import AttackResult
from attacks.victim import Victim

# From 16 images on, TensorFlow's CPU kernels give an image the same bits in any batch.
SMALLEST_CHUNK = 16


class Search(Protocol):
    """How the examples of a chunk of images are found."""

    def steps(self, confidences: Sequence[float]) -> int:
        """How often `solve` calls `after_step`."""

    def solve(
        self,
        victim: Victim,
        images: np.ndarray,
        labels: np.ndarray,
        confidences: Sequence[float],
        after_step: Callable[[], object],
    ) -> list[dict[str, AttackResult]]:
        """For each confidence {rule: result} of float32 images [N, H, W, C]."""


def attack(
    search: Search,
    victim: Victim,
    x,
    labels,
    confidence: float | Sequence[float],
    batch_size: int,
    progress: bool,
) -> list[dict[str, AttackResult]]:
    """Checks the inputs and attacks every image, in chunks of one size.

    So the inner loops are traced once.

    Args:
        search: finds the examples of a chunk.
        victim: the classifier.
        x: as in the attacks, like all that follow.
        labels: integers [N].
        confidence: a number or several.
        batch_size: images that are attacked together.
        progress: whether to show a bar, where somebody watches.

    Returns:
        For each confidence {rule: AttackResult}, in the order of x.

    Raises:
        InputError, InputTypeError: an argument is not as described.
    """
    confidences = check_numbers("confidence", confidence)
    check_settings(batch_size=batch_size)
    check_choice("progress", progress, (True, False))
    x, labels = check_inputs(x, labels, victim.bounds)
    check_classifier(victim.classifier, x, labels, batch_size)
    if victim.constraints is not None:
        check_constraints(victim.constraints, x, batch_size)

    chunks = -(-len(x) // batch_size)
    share = max(-(-len(x) // chunks // victim.devices), SMALLEST_CHUNK)
    size = share * victim.devices
    parts = []
    total = chunks * search.steps(confidences)
    hidden = None if progress else True  # None: in a file
    with tqdm(total=total, unit="step", disable=hidden, leave=False) as bar:
        for start in range(0, len(x), size):
            count = len(x[start : start + size])
            images, its_labels = (
                padded(values[start : start + size], size) for values in (x, labels)
            )
            found = search.solve(victim, images, its_labels, confidences, bar.update)
            parts.append(
                [
                    {
                        rule: victim.verified(images, its_labels, kappa, of).first(
                            count
                        )
                        for rule, of in results.items()
                    }
                    for kappa, results in zip(confidences, found, strict=True)
                ]
            )
    return [
        {rule: AttackResult.joined([part[rule] for part in of]) for rule in of[0]}
        for of in zip(*parts, strict=True)
    ]


def padded(values: np.ndarray, size: int) -> np.ndarray:
    """The values [N, ...] with the last one repeated, [size, ...]."""
    rest = [(0, 0)] * (values.ndim - 1)
    return np.pad(values, [(0, size - len(values)), *rest], mode="edge")
