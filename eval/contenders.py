"""The attacks that `eval.benchmark` compares: this project's, Foolbox's and ART's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np

import attacks
from eval.metrics import margins


@dataclass(frozen=True)
class Settings:
    """What all contenders are asked for.

    Attributes:
        attack: "cw" or "ead". rule: "L2", or of EAD's best example "EN" or "L1".
        confidence, beta, learning_rate, initial_const, max_iterations,
            binary_search_steps: as in the attacks.
        abort_early: whether Foolbox and ART may stop a step early, as they do by themselves.
    """

    attack: str
    rule: str
    confidence: float = 0.0
    beta: float = 1e-2
    learning_rate: float = 1e-2
    initial_const: float = 1e-3
    max_iterations: int = 1000
    binary_search_steps: int = 9
    abort_early: bool = True


# From images and labels to adversarial examples by rule.
Craft = Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]


def nearest(classifier: keras.Model, settings: Settings) -> Craft:
    """This project's `minimum_norm`, a run for each of the attack's rules."""

    def craft(x, labels):
        return {
            rule: attacks.minimum_norm(
                classifier,
                x,
                labels,
                norm=rule,
                beta=settings.beta if rule == "EN" else None,
                confidence=settings.confidence,
            ).adversarial
            for rule in ("EN", "L1")
        }

    return craft


def ours(classifier: keras.Model, settings: Settings, search: str) -> Craft:
    """This project's attack, all images of a call in one chunk of up to 64."""
    shared = {"confidence": settings.confidence, "search": search}
    if search == "exact":
        shared |= {
            "learning_rate": settings.learning_rate,
            "initial_const": settings.initial_const,
            "max_iterations": settings.max_iterations,
            "binary_search_steps": settings.binary_search_steps,
        }

    def craft(x, labels):
        if settings.attack == "cw":
            found = {"L2": attacks.carlini_wagner_l2(classifier, x, labels, **shared)}
        else:
            found = attacks.elastic_net(
                classifier, x, labels, beta=settings.beta, **shared
            )
        return {rule: result.adversarial for rule, result in found.items()}

    return craft


def foolbox(classifier: keras.Model, settings: Settings) -> Craft:
    """Foolbox's `L2CarliniWagnerAttack` or `EADAttack`; one rule a run."""
    import foolbox

    from eval.libraries import foolbox_attacks

    shared = {
        "binary_search_steps": settings.binary_search_steps,
        "steps": settings.max_iterations,
        "confidence": settings.confidence,
        "initial_const": settings.initial_const,
        "abort_early": settings.abort_early,
    }
    if settings.attack == "cw":
        attack = foolbox.attacks.L2CarliniWagnerAttack(
            stepsize=settings.learning_rate, **shared
        )
    else:
        attack = foolbox.attacks.EADAttack(
            initial_stepsize=settings.learning_rate,
            regularization=settings.beta,
            decision_rule=settings.rule,
            **shared,
        )

    def craft(x, labels):
        asked = foolbox_attacks.asked(classifier, x, labels)
        return {settings.rule: attack.run(*asked).numpy()}

    return craft


def art(classifier: keras.Model, settings: Settings) -> Craft:
    """ART's `CarliniL2Method` or `ElasticNet`; one rule a run."""
    from art.attacks.evasion import CarliniL2Method, ElasticNet

    from eval.libraries import art_attacks

    num_classes = classifier.output_shape[-1]
    model = art_attacks.as_estimator(
        classifier, classifier.input_shape[1:], num_classes
    )
    shared = {
        "confidence": settings.confidence,
        "learning_rate": settings.learning_rate,
        "binary_search_steps": settings.binary_search_steps,
        "max_iter": settings.max_iterations,
        "initial_const": settings.initial_const,
        "verbose": False,
    }

    def craft(x, labels):
        if settings.attack == "cw":
            attack = CarliniL2Method(model, batch_size=len(x), **shared)
        else:
            attack = ElasticNet(
                model,
                beta=settings.beta,
                decision_rule=settings.rule,
                batch_size=len(x),
                **shared,
            )
        one_hot = np.eye(num_classes, dtype=np.float32)[labels]
        return {settings.rule: attack.generate(x, one_hot)}

    return craft


def floor(classifier: keras.Model, settings: Settings) -> Craft:
    """No attack: as many gradients, and for EAD forward passes, as its iterations need."""
    import tensorflow as tf

    @tf.function
    def loop(x, labels):
        total = tf.zeros([])
        for _ in tf.range(settings.max_iterations):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(x)
                loss = tf.nn.sparse_softmax_cross_entropy_with_logits(
                    labels, classifier(x)
                )
            # What is returned depends on every pass, so that none is optimised away.
            x += 1e-9 * tape.gradient(loss, x)
            if settings.attack == "ead":
                total += tf.reduce_sum(classifier(x))
        return x, total

    def craft(x, labels):
        loop(tf.constant(x), tf.constant(labels))
        return {}

    return craft


def distances(
    classifier: keras.Model,
    settings: Settings,
    x: np.ndarray,
    labels: np.ndarray,
    adversarial: np.ndarray,
) -> dict[str, float | None]:
    """Success rate, and the mean distances of the examples that succeed.

    The label must lose by the confidence, as float32 logits allow: Foolbox and ART do not
    say themselves what they take for a success.
    """
    beyond = margins(np.array(classifier(adversarial)), labels)
    success = beyond >= settings.confidence - 1e-3
    d = np.abs(adversarial.astype(np.float64) - x).reshape(len(x), -1)[success]
    l1, l2 = d.sum(axis=1), np.sqrt((d**2).sum(axis=1))
    means = {"l1": l1, "l2": l2, "en": l2**2 + settings.beta * l1}
    found: dict[str, float | None] = {"success": float(success.mean())}
    for key, values in means.items():
        found[key] = float(values.mean()) if len(values) else None
    return found


def median_ratio(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    """The median of ratios of times that were measured in turn."""
    return float(np.median(np.array(numerator) / np.array(denominator)))
