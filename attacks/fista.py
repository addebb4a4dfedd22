"""EAD's iteration, which its searches share: a step of FISTA, and the best iterates by each rule.

Chen et al., "EAD: Elastic-Net Attacks to Deep Neural Networks via Adversarial Examples", AAAI
2018 (arXiv 1709.04114), algorithm 1; Beck & Teboulle, "A Fast Iterative Shrinkage-Thresholding
Algorithm for Linear Inverse Problems", SIAM J. Imaging Sciences 2009.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from attacks.objective import Answer, bettered, losses, met

LEARNING_RATE = 0.01  # of the first iteration, as published


class Goal(NamedTuple):
    """What is asked for, image by image.

    Attributes:
        x0: the images, [N, H, W, C].
        labels: int [N].
        confidence: kappa, [N].
    """

    x0: tf.Tensor
    labels: tf.Tensor
    confidence: tf.Tensor


class State(NamedTuple):
    """Where a minimisation is.

    Attributes:
        x: x_k, [N, H, W, C].
        y: where the next gradient is taken, likewise.
        best: {rule: (distance [N], example [N, H, W, C], its c [N, 1 + J])}.
    """

    x: tf.Tensor
    y: tf.Tensor
    best: dict[str, tuple]


def at_rest(x0: tf.Tensor, const: tf.Tensor) -> State:
    """A minimisation that begins at the images, with the c that it begins with."""
    nothing = tf.fill(tf.shape(x0)[:1], float("inf")), x0, const
    return State(x0, x0, {"EN": nothing, "L1": nothing})


def iteration(
    ask: Callable[[tf.Tensor], Answer],
    targeted: bool,
    bounds: tuple[float, float],
    beta: float,
) -> Callable:
    """One iteration on c * hinge + ||x - x0||_2^2 + beta ||x - x0||_1, for any c.

    Args:
        ask: what answers for images.
        targeted: whether to reach the labels.
        bounds: least and largest value of a pixel.
        beta: weight of the L1 norm under the rule EN.
    """

    def iterate(
        goal: Goal,
        state: State,
        const: tf.Tensor,
        rate: tf.Tensor,
        threshold: float | tf.Tensor,
        momentum: tf.Tensor,
    ) -> tuple[State, tf.Tensor]:
        """x_{k+1} = S(y_k - rate * gradient), and y_{k+1}, beyond it by the last step.

        Args:
            goal: what is asked for.
            state: where the minimisation is.
            const: c, [N, 1 + J].
            rate: of the gradient.
            threshold: of the shrinkage S.
            momentum: what of the last step y goes beyond x.

        Returns:
            The state, and whether x fools the classifier and each constraint holds, bool
            [N, 1 + J].
        """
        x0, labels, confidence = goal
        x, y, best = state
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(y)
            excess = losses(ask(y), labels, confidence, targeted)
            loss = tf.reduce_sum(const * excess, axis=1)
            loss += tf.reduce_sum((y - x0) ** 2, axis=[1, 2, 3])
        x_next = shrink(y - rate * tape.gradient(loss, y), x0, threshold, bounds)
        y = x_next + momentum * (x_next - x)
        x = x_next

        holds = met(ask(x), labels, confidence, targeted)
        l1 = tf.reduce_sum(tf.abs(x - x0), axis=[1, 2, 3])
        en = tf.reduce_sum((x - x0) ** 2, axis=[1, 2, 3]) + beta * l1
        found = tf.reduce_all(holds, axis=1)
        best = bettered(best, {"EN": en, "L1": l1}, found, x, const)
        return State(x, y, best), holds

    return iterate


def shrink(
    z: tf.Tensor, x0: tf.Tensor, beta: float | tf.Tensor, bounds: tuple[float, float]
) -> tf.Tensor:
    """S_beta(z): x0 where |z - x0| <= beta, else z moved by beta toward x0, in the bounds.

    The projected shrinkage-thresholding of Chen et al.; all tensors are [N, H, W, C].
    """
    low, high = bounds
    difference = z - x0
    shrunk = tf.clip_by_value(z - tf.sign(difference) * beta, low, high)
    return tf.where(tf.abs(difference) <= beta, x0, shrunk)
