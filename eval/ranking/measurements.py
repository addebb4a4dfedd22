"""What is measured of each attack, on each model, with each budget."""

import functools
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np

from eval.metrics import margins
from eval.ranking import models
from eval.ranking.contenders import CONTENDERS, Contender
from eval.ranking.counted import Counted
from eval.ranking.models import MODELS
from magnet_tf.arrays import predicted

SLACK = 1e-3  # of the margin, in logits: as float32 allows, for all alike


class Name(NamedTuple):
    """What a measurement is of; its text is its key in `ranks.json`."""

    model: str
    contender: str
    gradients: int

    def __str__(self) -> str:
        return " ".join(map(str, self))

    @classmethod
    def of(cls, text: str) -> "Name":
        """The name that a key says."""
        model, contender, gradients = text.split()
        return cls(model, contender, int(gradients))


class Bench:
    """The models and their images, had when first asked for.

    Args:
        directory: where trained models are kept.
        num_examples: images of the first model; of others a share of these.
    """

    def __init__(self, directory: Path, num_examples: int):
        self._directory, self._num_examples = directory, num_examples
        self.classifier = functools.cache(self._classifier)
        self.images = functools.cache(self._images)

    def _classifier(self, model: str) -> keras.Model:
        return models.classifier(model, self._directory)

    def _images(self, model: str) -> tuple[np.ndarray, np.ndarray]:
        of = MODELS[model]
        count = max(2, int(of.share * self._num_examples))
        return models.attacked(self.classifier(model), of.dataset, count)

    def measure(self, name: Name) -> dict:
        """One attack with one budget on one model."""
        return measured(
            CONTENDERS[name.contender],
            self.classifier(name.model),
            *self.images(name.model),
            name.gradients,
        )


def measured(
    contender: Contender,
    classifier: keras.Model,
    x: np.ndarray,
    labels: np.ndarray,
    gradients: int,
) -> dict:
    """What an attack found, and what it took.

    Args:
        contender: the attack.
        classifier: what is attacked.
        x: images [N, H, W, C].
        labels: int [N].
        gradients: its budget for an image.

    Returns:
        "distances" for each image by the attack's norm, None where what it returned does not
        fool the classifier; "forward" and "backward" passes for each image, as counted;
        "seconds", compiling among them.
    """
    counted = Counted(classifier, len(x))
    begin = time.perf_counter()
    examples = contender.craft(counted, x, labels, gradients)
    seconds = time.perf_counter() - begin
    forward, backward = counted.passes
    fooled = margins(predicted(classifier, examples), labels) >= -SLACK
    d = (examples.astype(np.float64) - x).reshape(len(x), -1)
    lengths = np.linalg.norm(d, ord={"L1": 1, "L2": 2}[contender.norm], axis=1)
    return {
        "distances": [
            float(f"{length:.6g}") if success else None
            for length, success in zip(lengths, fooled)
        ],
        "forward": forward,
        "backward": backward,
        "seconds": seconds,
    }


def jobs(
    bench: Bench, budgets: Sequence[int], of: Sequence[str]
) -> dict[str, Callable[[], dict]]:
    """Everything that is measured on these models, by key.

    Slow attacks have the least budget alone, of which they take more than of the largest.
    """
    found: dict[str, Callable[[], dict]] = {}
    for model in of:
        for gradients in sorted(budgets):
            for key, contender in CONTENDERS.items():
                if contender.slow and gradients > min(budgets):
                    continue
                name = Name(model, key, gradients)
                found[str(name)] = functools.partial(bench.measure, name)
    return found
