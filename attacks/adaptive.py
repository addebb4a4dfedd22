"""An adaptive search: c is a multiplier that moves at every iteration.

The published search runs the whole minimisation anew for each c. Here c falls by a factor
after an iterate that fools the classifier and rises by it after one that does not, so that
the iterates stay at the decision boundary while the distance shrinks: the same problem,
minimise a distance subject to a margin, by a proximal gradient method with a multiplier
update. 450 gradients an image then do what 9 steps of 1,000 iterations do.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from attacks.objective import is_adversarial, margin, per_image
from attacks.result import AttackResult, measured

MOMENTUM = 0.5  # of the gradients' running mean
PASSES = 3


@dataclasses.dataclass(frozen=True)
class Rule:
    """A distance to minimise, l2 * ||d||_2^2 + l1 * ||d||_1, and how.

    Attributes:
        name: in the results.
        l2, l1: weights of the distance.
        iterations: of a phase that minimises it.
        step: size of the first and the last step; geometric in between.
        drift: by how much log c moves in the first and the last iteration; likewise.
    """

    name: str
    l2: float
    l1: float
    iterations: int
    step: tuple[float, float]
    drift: tuple[float, float]

    def brought_to_unit_box(self, width: float) -> "Rule":
        """The same rule for d / width, up to a factor."""
        return dataclasses.replace(self, l1=self.l1 / width) if self.l2 else self


# Steps and drifts are for images in [0, 1], to which every box is brought.
L2 = Rule("L2", 1.0, 0.0, 100, step=(0.3, 0.01), drift=(0.3, 0.02))
L1 = Rule("L1", 0.0, 1.0, 100, step=(0.3, 0.003), drift=(0.15, 0.02))


def elastic_net(beta: float) -> Rule:
    """The rule ||d||_2^2 + beta * ||d||_1."""
    return dataclasses.replace(L2, name="EN", l1=beta, iterations=50)


def inner_loop(
    classifier: Callable,
    targeted: bool,
    bounds: tuple[float, float],
    rule: Rule,
    rules: Sequence[Rule],
) -> Callable:
    """A phase: iterations toward one rule, scored by all rules.

    Images are in [0, 1] here; `bounds` is what the classifier takes.
    """
    low, high = bounds
    rule = rule.brought_to_unit_box(high - low)
    rules = [r.brought_to_unit_box(high - low) for r in rules]

    def phase(x0, labels, confidence, excluded, x, best):
        """Minimises from x, aiming at no class that `excluded`, bool [N, K], names.

        Returns the last x, the class that it was aimed at, and the best by each rule.
        """
        mean, log_c, rival = tf.zeros_like(x), tf.zeros_like(confidence), labels
        for k in tf.range(rule.iterations):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(x)
                logits = classifier(low + (high - low) * x)
                gap, rival = margin(logits, labels, targeted, excluded)
                gap += confidence
            gradient = tape.gradient(gap, x)
            d = x - x0
            l2, l1 = tf.reduce_sum(d**2, [1, 2, 3]), tf.reduce_sum(tf.abs(d), [1, 2, 3])

            fooled = is_adversarial(logits, labels, confidence, targeted)
            scored = {}
            for r in rules:
                score, example, const = best[r.name]
                distance = r.l2 * l2 + r.l1 * l1
                better = fooled & (distance < score)
                scored[r.name] = (
                    tf.where(better, distance, score),
                    tf.where(per_image(better), x, example),
                    tf.where(better, tf.exp(log_c), const),
                )
            best = scored

            part = tf.cast(k, tf.float32) / rule.iterations
            step = rule.step[0] * (rule.step[1] / rule.step[0]) ** part
            drift = rule.drift[0] * (rule.drift[1] / rule.drift[0]) ** part
            log_c = tf.where(
                k == 0,
                tf.math.log(first_const(rule, gap, gradient)),
                log_c + tf.where(gap < 0, -drift, drift),
            )
            mean = MOMENTUM * mean + (1 - MOMENTUM) * gradient
            z = d - step * (2 * rule.l2 * d + per_image(tf.exp(log_c)) * mean)
            z = tf.sign(z) * tf.nn.relu(tf.abs(z) - step * rule.l1)
            x = tf.clip_by_value(x0 + z, 0.0, 1.0)
        return x, rival, best

    return phase


def first_const(rule: Rule, gap: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
    """c to start from: the multiplier of the linearised problem; for L1, twice that."""
    if rule.l2:
        square = tf.reduce_sum(gradient**2, [1, 2, 3])
        return 2 * rule.l2 * tf.maximum(gap, 1e-3) / (square + 1e-12) + 1e-12
    return 2 * rule.l1 / (tf.reduce_max(tf.abs(gradient), [1, 2, 3]) + 1e-12) + 1e-12


def search(
    phases: Sequence[Callable],
    rules: Sequence[Rule],
    images: np.ndarray,
    labels: np.ndarray,
    confidence: float,
    num_classes: int,
    targeted: bool,
    bounds: tuple[float, float],
    after_phase: Callable[[], object],
) -> dict[str, AttackResult]:
    """The best example of each image by each rule, over all passes.

    A pass is a phase for each rule, one going on from the other. Untargeted, the next pass
    starts from the image again and aims at another class than those that passes ended at,
    because the nearest boundary is not always the one that is met first. Targeted, it goes
    on from the last one's end.

    Args:
        phases: compiled `inner_loop`s, one for each of `rules`.
        images: float32 [N, H, W, C] within `bounds`. labels: int [N].
        num_classes: K. confidence, targeted: as in the attacks.
        after_phase: called after each phase.
    """
    low, high = bounds
    x0, labels = tf.constant((images - low) / (high - low)), tf.constant(labels)
    kappa = tf.fill([len(images)], float(confidence))
    nothing = (tf.fill([len(images)], float("inf")), x0, tf.ones_like(kappa))
    best = {rule.name: nothing for rule in rules}
    excluded = tf.zeros([len(images), num_classes], tf.bool)
    end = x0
    for _ in range(PASSES):
        end = end if targeted else x0
        for phase in phases:
            end, rival, best = phase(x0, labels, kappa, excluded, end, best)
            after_phase()
        if not targeted:
            reached = tf.one_hot(rival, num_classes, on_value=True, off_value=False)
            count = tf.reduce_sum(
                tf.cast(excluded | reached, tf.int32), 1, keepdims=True
            )
            # one class must be left to aim at, beside the label
            excluded = tf.where(count < num_classes - 1, excluded | reached, excluded)
    return {
        name: measured(
            images,
            np.clip(low + (high - low) * example.numpy(), low, high),
            np.isfinite(score),
            const.numpy().astype(np.float64),
        )
        for name, (score, example, const) in best.items()
    }
