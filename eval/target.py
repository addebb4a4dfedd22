"""What examples are crafted on: the undefended classifier, or what an attacker knows of a defence."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import tensorflow as tf

from magnet_tf import MagNet


class Asked(NamedTuple):
    """What an attack asks of images.

    Attributes:
        classifier: from images [N, H, W, C] to logits [N, K], or [N, M, K] of M classifiers
            that are all to be fooled.
        constraints: from images to [N, J], at most 0 where an example may pass; None for
            nothing beside the classifier.
    """

    classifier: Callable
    constraints: Callable | None = None


class Together:
    """Several defences, all of which an example is to get past; pickles as they do.

    Args:
        magnets: calibrated, at least one.
    """

    def __init__(self, magnets: Sequence[MagNet]):
        self.magnets = magnets

    def healed_logits(self, x: tf.Tensor) -> tf.Tensor:
        """What each classifies healed images as: [N, H, W, C] -> logits [N, M, K]."""
        return tf.stack([magnet.healed_logits(x) for magnet in self.magnets], axis=1)

    def constraints(self, x: tf.Tensor) -> tf.Tensor:
        """By how much each of their detectors rejects images, [N, J]."""
        return tf.concat([magnet.constraints(x) for magnet in self.magnets], axis=1)


@dataclass(frozen=True)
class Target:
    """What examples are crafted on; made when it is first needed.

    Attributes:
        folder: of its examples' files, with a slash in the end; none for the undefended
            classifier's.
        settings: what tells it from others.
        asked: makes it.
    """

    folder: str
    settings: Mapping
    asked: Callable[[], Asked]


def undefended(classifier: Callable, fingerprint: str) -> Target:
    """The undefended classifier: all that the oblivious attacker sees."""
    return Target("", {"classifier": fingerprint}, lambda: Asked(classifier))


def defended(
    folder: str, settings: Mapping, magnets: Callable[[], Sequence[MagNet]]
) -> Target:
    """One MagNet, or several that an example is to get past all together.

    One: the defence itself, for the white-box attacker, who knows its models and
    thresholds. Several: the attacker's own, for the gray-box attacker of Carlini & Wagner,
    "MagNet and 'Efficient Defenses Against Adversarial Attacks' are Not Robust to
    Adversarial Examples" (arXiv 1711.08478), who knows how the defence is made, and hopes
    that what gets past all of them gets past it, too.

    Args:
        folder, settings: as in `Target`.
        magnets: makes them, calibrated, at least one.
    """

    def asked() -> Asked:
        several = Together(magnets())
        return Asked(several.healed_logits, several.constraints)

    return Target(folder, settings, asked)
