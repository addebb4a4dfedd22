"""Foolbox's attacks: Rauber et al., JOSS 2020 (github.com/bethgelab/foolbox)."""

import functools
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

import eagerpy
import foolbox
import keras
import numpy as np
import tensorflow as tf
from foolbox.attacks.base import Attack, FixedEpsilonAttack

PACKAGE, TITLE = "foolbox", "Foolbox"
EPSILON = "epsilon"  # how far an example may be: given to a call, not to the class
ARGUMENTS = {EPSILON}
HIDDEN = {"self", "args", "kwargs", "tensorboard", "distance", "init_attack"}


@functools.cache
def classes() -> dict[str, type[Attack]]:
    """The attacks that need nothing but images and labels, by name."""
    needs_images = {"DatasetAttack", "VirtualAdversarialAttack"}
    return {
        name: of
        for name, of in sorted(vars(foolbox.attacks).items())
        if inspect.isclass(of)
        and issubclass(of, Attack)
        and not inspect.isabstract(of)
        and name not in needs_images
    }


def rule(attack: type[Attack], arguments: Mapping[str, Any]) -> str:
    """The norm that an attack minimises or bounds."""
    given = inspect.signature(attack).parameters.get("decision_rule")
    if given:
        return arguments.get("decision_rule", given.default)
    found = re.match("L(0|1|2|inf)", attack.__name__, re.IGNORECASE)
    if found:
        return f"L{found[1].lower()}"
    distance = getattr(attack, "distance", None)
    p = getattr(distance, "p", None)
    return "L2" if p is None else "Linf" if np.isinf(p) else f"L{p:g}"


def bounded(attack: type[Attack], asked: Collection[str]) -> bool:
    """Whether an attack with these arguments may go no farther than it is told."""
    return EPSILON in asked


def crafting(name: str, arguments: Mapping[str, Any]):
    """From classifier, images and labels to adversarial examples by an attack.

    Args:
        name: in `classes()`.
        arguments: of the class, and `epsilon`.

    Raises:
        ValueError: it needs an epsilon and has none.
    """
    arguments = dict(arguments)
    epsilon = arguments.pop(EPSILON, None)
    attack = classes()[name](**arguments)
    if epsilon is None and isinstance(attack, FixedEpsilonAttack):
        raise ValueError(f"{name} needs epsilon=, the largest distance")

    def craft(classifier: keras.Model, x: np.ndarray, labels: np.ndarray) -> np.ndarray:
        raw, clipped, _ = attack(*asked(classifier, x, labels), epsilons=epsilon)
        return (raw if epsilon is None else clipped).numpy()

    return craft


def asked(classifier: Callable, x: np.ndarray, labels: np.ndarray) -> tuple:
    """What Foolbox's attacks take: a classifier of images in [0, 1], images, and a criterion."""
    device = (keras.distribution.list_devices("gpu") or ["cpu:0"])[0]
    model = foolbox.TensorFlowModel(classifier, bounds=(0, 1), device=device)
    criterion = foolbox.criteria.Misclassification(tf.constant(labels))
    return model, eagerpy.astensor(tf.constant(x)), criterion
