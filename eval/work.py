"""The pieces of work of an evaluation, as functions that any process can run."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import attacks
from attacks import AttackResult
from eval import libraries
from eval.grid import ATTACKS, Group
from eval.target import Asked
from magnet_tf import MagNet
from magnet_tf.errors import UserError
from magnet_tf.outcomes import Outcome

CHUNK = 64  # images that are attacked, and saved, together


class WorkError(UserError, ValueError):
    """A piece of work cannot be done as it was asked for."""


def craft(
    asked: Asked,
    images: np.ndarray,
    labels: np.ndarray,
    group: Group,
    search: Mapping[str, Any],
    progress: bool,
) -> Sequence[Mapping[str, AttackResult]]:
    """Adversarial examples of a chunk of images.

    Args:
        asked: what they are crafted on.
        images: float32 [N, H, W, C] in [0, 1].
        labels: int [N].
        group: the runs.
        search: keywords of the attack.
        progress: whether the attack shows a bar.

    Returns:
        {rule: AttackResult} for each of the group's confidences, in their order.

    Raises:
        WorkError: the attack does not take what it is given.
    """
    libraries.register([group.attack])
    among = {"constraints": asked.constraints} if asked.constraints else {}
    try:
        return ATTACKS[group.attack].craft(
            asked.classifier,
            images,
            labels,
            group,
            batch_size=CHUNK,
            progress=progress,
            **among,
            **search,
        )
    except attacks.InputError as error:
        raise WorkError(f"{group.name}: {error}") from error


def judge(
    magnets: Sequence[MagNet], images: np.ndarray, labels: np.ndarray
) -> list[dict[str, np.ndarray]]:
    """What each defence makes of the same images, as arrays for a file; see `outcome`.

    Args:
        magnets: calibrated.
        images: float32 [N, H, W, C] in [0, 1].
        labels: int [N].
    """
    return [
        {
            "right": of.right,
            "right_healed": of.right_healed,
            "passed": of.passed,
            "thresholds": np.array(list(magnet.thresholds.values())),
            "marks": np.array([of.marks[name] for name in magnet.thresholds]),
        }
        for magnet, of in zip(
            magnets, Outcome.of_each(magnets, images, labels), strict=True
        )
    ]


def outcome(
    arrays: Mapping[str, np.ndarray], detectors: Sequence[str]
) -> tuple[Outcome, dict[str, float]]:
    """An outcome and the defence's thresholds, of the arrays that `judge` gives."""
    kept = dict(arrays)
    marks, thresholds = kept.pop("marks"), kept.pop("thresholds").tolist()
    return (
        Outcome(**kept, marks=dict(zip(detectors, marks))),
        dict(zip(detectors, thresholds)),
    )
