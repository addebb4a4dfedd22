"""Orthogonal projected gradient descent, against a classifier behind detectors.

Bryniarski, Hingun, Pachuca, Wang & Carlini, "Evading Adversarial Example Detection Defenses
with Orthogonal Projected Gradient Descent", ICLR 2022 (arXiv 2106.15023), section 3: an
attacker who descends the sum of two losses may perturb past the one while the other stands
still. So each step takes one of them alone, and of its gradient only the part that leaves the
other as it is, to first order: the classifier's where it is not fooled yet, else the
detector's.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from attacks.checks import check_numbers, check_settings
from attacks.lagrangian import between
from attacks.objective import Answer, gaps, keep, met, per_image
from attacks.result import AttackResult, measured
from attacks.search import attack
from attacks.victim import Victim

LENGTH = (0.2, 0.01)  # of the first and the last step, in epsilon; geometric in between
PIXELS = [1, 2, 3]


def orthogonal_pgd(
    classifier: Callable,
    x,
    labels,
    *,
    epsilon: float | Sequence[float],
    steps: int = 200,
    targeted: bool = False,
    bounds: tuple[float, float] = (0.0, 1.0),
    batch_size: int = 64,
    constraints: Callable | None = None,
    jit_compile: bool | None = None,
    progress: bool = False,
) -> AttackResult | list[AttackResult]:
    """Finds, for each image, an adversarial example within an L2 ball.

    Args:
        classifier: from images [N, H, W, C] to logits [N, K]; TensorFlow must be able to
            differentiate it. From several classifiers [N, M, K], all of which are to be
            fooled.
        x: float images [N, H, W, C] within `bounds`.
        labels: integers [N]: the true classes, or the targets where `targeted`.
        epsilon: the ball's radius in images scaled to [0, 1]; or several, one after the
            other.
        steps: of projected gradient descent, each of two gradients where there are
            constraints: of the classifier's margin, and of the most violated constraint.
        targeted: whether to reach `labels` instead of leaving them.
        bounds: least and largest value of a pixel.
        batch_size: as in `carlini_wagner_l2`.
        constraints: what an example must satisfy besides, such as passing a detector: from
            images to [N, J], at most 0 where satisfied, differentiable. None for nothing:
            projected gradient descent on the margin.
        jit_compile: whether XLA compiles the loop; None: where there is a GPU.
        progress: whether to show a bar, where somebody watches.

    Returns:
        An `AttackResult` with the nearest iterate that fools the classifier and satisfies
        all constraints; a failed image comes back unchanged with `success` False. `const`
        has no meaning. With several radii a list of these, in their order.

    Raises:
        InputError, InputTypeError: an argument, or the output of the classifier or the
            constraints, is not as described.
    """
    radii = check_numbers("epsilon", epsilon)
    check_settings(steps=steps)
    victim = Victim(classifier, targeted, bounds, jit_compile, constraints)
    results = []
    for radius in radii:
        search = OrthogonalDescent(radius, steps)
        (found,) = attack(search, victim, x, labels, 0.0, batch_size, progress)
        results.append(found["L2"])
    return results if np.ndim(epsilon) else results[0]


class OrthogonalDescent:
    """The nearest iterate within a ball.

    Args:
        epsilon: the radius, in images scaled to [0, 1].
        iterations: steps of the descent.
    """

    def __init__(self, epsilon: float, iterations: int):
        self._epsilon, self._iterations = epsilon, iterations

    def steps(self, confidences: Sequence[float]) -> int:
        """How often `solve` calls `after_step`."""
        return len(confidences)

    def solve(
        self,
        victim: Victim,
        images: np.ndarray,
        labels: np.ndarray,
        confidences: Sequence[float],
        after_step: Callable[[], object],
    ) -> list[dict[str, AttackResult]]:
        """For each confidence the nearest iterates of a chunk."""
        descend = victim.loop(inner_loop, iterations=self._iterations)
        low, high = victim.bounds
        fixed = tf.constant(images), tf.constant(labels)
        results = []
        for confidence in confidences:
            kappa = tf.fill([len(images)], float(confidence))
            radius = tf.fill([len(images)], self._epsilon * (high - low))
            distance, example = map(np.asarray, descend(*fixed, kappa, radius))
            success = np.isfinite(distance)
            const = np.ones(len(images))
            results.append({"L2": measured(images, example, success, const)})
            after_step()
        return results


def inner_loop(
    ask: Callable[[tf.Tensor], Answer],
    targeted: bool,
    bounds: tuple[float, float],
    iterations: int,
) -> Callable:
    """The descent within balls of given radii."""

    def descend(x0, labels, confidence, radius):
        x = x0
        best = tf.fill(tf.shape(labels), float("inf")), x0
        for k in tf.range(iterations):
            with tf.GradientTape(
                persistent=True, watch_accessed_variables=False
            ) as tape:
                tape.watch(x)
                answer = ask(x)
                gap, _ = gaps(answer, labels, confidence, targeted)
                constrained = gap.shape[1] > 1
                of_margin = gap[:, 0]
                violation = tf.reduce_max(gap[:, 1:] if constrained else gap, axis=1)
            reached = met(answer, labels, confidence, targeted)
            distance = norm(x - x0)
            found = tf.reduce_all(reached, axis=1)
            best = keep(best, (tf.where(found, distance, float("inf")), x))

            direction = tape.gradient(of_margin, x)
            if constrained:
                other = tape.gradient(violation, x)
                direction = tf.where(
                    per_image(reached[:, 0]),
                    orthogonal(other, direction),
                    orthogonal(direction, other),
                )
            length = between(LENGTH, tf.cast(k, tf.float32) / iterations)
            x -= per_image(length * radius / (norm(direction) + 1e-12)) * direction
            d = x - x0
            d *= per_image(tf.minimum(1.0, radius / (norm(d) + 1e-12)))
            x = tf.clip_by_value(x0 + d, *bounds)
        return best

    return descend


def orthogonal(gradient: tf.Tensor, to: tf.Tensor) -> tf.Tensor:
    """The part of a gradient along which another loss does not change, both [N, H, W, C]."""
    along = tf.reduce_sum(gradient * to, PIXELS) / (
        tf.reduce_sum(to**2, PIXELS) + 1e-12
    )
    return gradient - per_image(along) * to


def norm(d: tf.Tensor) -> tf.Tensor:
    """The L2 norm, [N, H, W, C] -> [N]."""
    return tf.sqrt(tf.reduce_sum(d**2, PIXELS))
