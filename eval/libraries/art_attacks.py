"""ART's attacks: Nicolae et al. 2018, arXiv 1807.01069 (Adversarial Robustness Toolbox)."""

import functools
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import art.attacks.evasion
import keras
import numpy as np
from art.attacks.attack import EvasionAttack
from art.estimators.classification import TensorFlowV2Classifier

PACKAGE, TITLE = "adversarial-robustness-toolbox", "ART"
ARGUMENTS: set[str] = set()
# of other data, goals or frameworks
OTHER = "ASR|Feature|FrameSaliency|GRAPHITE|Malware|Patch|PyTorch|Targeted"
HIDDEN = {
    "classifier",
    "estimator",
    "summary_writer",
    "verbose",
    "batch_size",
    "targeted",
}


@functools.cache
def classes() -> dict[str, type[EvasionAttack]]:
    """The attacks on a TensorFlow classifier of images, by name."""
    return {
        name: of
        for name, of in sorted(vars(art.attacks.evasion).items())
        if inspect.isclass(of)
        and issubclass(of, EvasionAttack)
        and (needs := getattr(of, "_estimator_requirements", ()))
        and issubclass(TensorFlowV2Classifier, needs)
        and not re.search(OTHER, name)
    }


def rule(attack: type[EvasionAttack], arguments: Mapping[str, Any]) -> str:
    """The norm that an attack minimises or bounds."""
    takes = inspect.signature(attack).parameters
    if "decision_rule" in takes:
        return arguments.get("decision_rule", takes["decision_rule"].default)
    if found := re.search("L(0|1|2|Inf)Method", attack.__name__):
        return f"L{found[1].lower()}"
    norm = arguments.get("norm", takes["norm"].default if "norm" in takes else 2)
    return "Linf" if norm in (np.inf, "inf") else f"L{norm}"


def bounded(attack: type[EvasionAttack], asked: Collection[str]) -> bool:
    """Whether an attack with these arguments may go no farther than it is told.

    One that has an `eps` has a default for it, too, and goes without where it is minimal.
    """
    return "eps" in inspect.signature(attack).parameters and "minimal" not in asked


def crafting(name: str, arguments: Mapping[str, Any]):
    """From classifier, images and labels to adversarial examples by an attack.

    Args:
        name: in `classes()`.
        arguments: of the class.

    Raises:
        ValueError: it is to be targeted.
    """
    if arguments.get("targeted"):
        raise ValueError(
            "the evaluation's attacks have no targets; leave targeted= out"
        )

    def craft(classifier: keras.Model, x: np.ndarray, labels: np.ndarray) -> np.ndarray:
        classes_ = classifier.output_shape[-1]
        model = as_estimator(classifier, x.shape[1:], classes_)
        attack = classes()[name]
        takes = inspect.signature(attack).parameters
        quiet = {"verbose": False} if "verbose" in takes else {}
        one_hot = np.eye(classes_, dtype=np.float32)[labels]
        return attack(model, **quiet, **arguments).generate(x, one_hot)

    return craft


def as_estimator(
    classifier: Callable, image_shape: tuple[int, ...], num_classes: int
) -> TensorFlowV2Classifier:
    """A classifier of images in [0, 1], as ART's attacks take it."""
    return TensorFlowV2Classifier(
        classifier,
        nb_classes=num_classes,
        input_shape=image_shape,
        loss_object=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        clip_values=(0, 1),
    )
