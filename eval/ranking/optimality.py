"""AttackBench's optimality: how near an attack comes to the best that is known.

Cinà, Rony, Pintor, Demetrio, Demontis, Biggio, Ben Ayed & Roli, "AttackBench: Evaluating
Gradient-based Attacks for Adversarial Examples", AAAI 2025 (arXiv 2404.19460). An attack's
robust accuracy at a distance is the share of images for which it found nothing within it; the
envelope's is that of the nearest examples that any attack found. The optimality is

    1 - (area under the attack's curve - envelope's) / (area under the clean accuracy - envelope's),

up to the distance from which on the envelope is 0: 1 for an attack that always finds the
nearest example known, 0 for one that finds nothing. Curves are steps, so that the area under
one up to D is the mean of min(distance, D); AttackBench's own code draws straight lines between
the steps.
"""

import numpy as np

from magnet_tf.errors import InputError


def envelope(distances: np.ndarray) -> np.ndarray:
    """The least distance that any attack found for each image: [A, N] -> [N], inf where none did."""
    return np.min(_checked(distances), axis=0)


def robust_accuracy(distances: np.ndarray, budgets: np.ndarray) -> np.ndarray:
    """The share of images without an example within each of the budgets: [N], [B] -> [B]."""
    return np.mean(_checked(distances)[None] > np.asarray(budgets)[:, None], axis=1)


def optimality(distances: np.ndarray, nearest: np.ndarray) -> float:
    """The optimality of an attack, in [0, 1].

    Args:
        distances: [N], of its examples; inf where it failed, 0 where the image itself is
            misclassified.
        nearest: [N], the envelope, of which none is above the attack's.

    Raises:
        InputError: they are not as described, or no attack found anything, or all images'
            nearest distances are the same, for which it is not defined.
    """
    distances, nearest = _checked(distances), _checked(nearest)
    if distances.shape != nearest.shape or (distances < nearest).any():
        raise InputError(
            "the nearest distances must be as many as the attack's and none of them farther; "
            "take the envelope over all attacks, this one among them."
        )
    found = nearest[np.isfinite(nearest)]
    farthest = float(found.max(initial=0))
    best = _area(nearest, farthest)
    clean = farthest * float(np.mean(nearest > 0))
    if clean <= best:
        raise InputError(
            "the optimality is not defined where nothing was found, or everything at one "
            "distance; take more images."
        )
    share = 1 - (_area(distances, farthest) - best) / (clean - best)
    return min(max(share, 0.0), 1.0)  # but for rounding


def _area(distances: np.ndarray, up_to: float) -> float:
    """Under the curve of robust accuracy, from 0 to a distance."""
    return float(np.minimum(distances, up_to).mean())


def _checked(distances: np.ndarray) -> np.ndarray:
    distances = np.asarray(distances, np.float64)
    if not distances.size or not (distances >= 0).all():
        raise InputError(
            f"distances must be at least 0 (inf where an attack failed), got {distances}."
        )
    return distances
