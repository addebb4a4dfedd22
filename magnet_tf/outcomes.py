"""What a defence made of labelled images, and MagNet's four accuracies of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from magnet_tf.arrays import in_batches
from magnet_tf.magnet import MagNet, judged_by_each


class Accuracies(NamedTuple):
    """Shares of N inputs that are handled rightly, by how much of MagNet is used.

    `AttackEvaluator` and `Evaluator` in the original. An attacked input is handled rightly,
    too, when a detector rejects it; a clean one is not.
    """

    none: float
    detector: float
    reformer: float
    both: float


@dataclass(frozen=True)
class Outcome:
    """What a defence and its undefended classifier made of N labelled images.

    Attributes:
        right: bool [N], the undefended classifier is right.
        right_healed: bool [N], it is right of the healed images.
        passed: bool [N], the input passes all detectors.
        marks: the detectors' marks, {name: float32 [N]}.
    """

    right: np.ndarray
    right_healed: np.ndarray
    passed: np.ndarray
    marks: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, magnet: MagNet, images: np.ndarray, labels: np.ndarray) -> "Outcome":
        """What a calibrated MagNet makes of images.

        Args:
            magnet: its `classifier` is the undefended one.
            images: float [N, H, W, C] in [0, 1].
            labels: int [N].

        Raises:
            NotCalibratedError, TypeError, ValueError: as `MagNet.judge`.
        """
        return cls.of_each([magnet], images, labels)[0]

    @classmethod
    def of_each(
        cls, magnets: Sequence[MagNet], images: np.ndarray, labels: np.ndarray
    ) -> list["Outcome"]:
        """What each of several calibrated MagNets makes of the same images.

        A model that several of them hold is asked once about a batch.

        Args:
            magnets: the `classifier` of each is its undefended one.
            images: float [N, H, W, C] in [0, 1].
            labels: int [N].

        Raises:
            NotCalibratedError, TypeError, ValueError: as `MagNet.judge`.
        """
        verdicts = judged_by_each(magnets, images)
        right = {
            classifier: in_batches(classifier, images).argmax(axis=1) == labels
            for classifier in dict.fromkeys(magnet.classifier for magnet in magnets)
        }
        return [
            cls(
                right=right[magnet.classifier],
                right_healed=verdict.logits.argmax(axis=1) == labels,
                passed=verdict.passed,
                marks=verdict.marks,
            )
            for magnet, verdict in zip(magnets, verdicts, strict=True)
        ]

    def at(self, index: np.ndarray) -> "Outcome":
        """The same of the inputs at these places alone."""
        marks = {name: of[index] for name, of in self.marks.items()}
        return Outcome(
            self.right[index], self.right_healed[index], self.passed[index], marks
        )

    @property
    def got_past(self) -> np.ndarray:
        """bool [N], the input passes all detectors and is misclassified when healed."""
        return self.passed & ~self.right_healed

    def accuracies(self, attacked: bool) -> Accuracies:
        """The four accuracies.

        Args:
            attacked: whether the images are adversarial examples, which a detector rejects
                rightly.
        """

        def detected(right: np.ndarray) -> float:
            if attacked:
                return float(1 - np.mean(self.passed & ~right))
            return float(np.mean(self.passed & right))

        return Accuracies(
            none=float(np.mean(self.right)),
            detector=detected(self.right),
            reformer=float(np.mean(self.right_healed)),
            both=detected(self.right_healed),
        )
