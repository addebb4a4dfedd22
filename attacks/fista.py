"""What EAD's searches share: a step of FISTA, and the best of its iterates by each rule.

Chen et al., "EAD: Elastic-Net Attacks to Deep Neural Networks via Adversarial Examples", AAAI
2018 (arXiv 1709.04114), algorithm 1; Beck & Teboulle, "A Fast Iterative Shrinkage-Thresholding
Algorithm for Linear Inverse Problems", SIAM J. Imaging Sciences 2009.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from attacks.objective import Answer, bettered, losses

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
        y: y_k, beyond it by momentum, likewise.
        best: {rule: (distance [N], example [N, H, W, C], its c [N, 1 + J])}.
    """

    x: tf.Tensor
    y: tf.Tensor
    best: dict[str, tuple]


def at_rest(x0: tf.Tensor, const: tf.Tensor) -> State:
    """A minimisation that begins at the images, with the c that it begins with."""
    nothing = tf.fill(tf.shape(x0)[:1], float("inf")), x0, const
    return State(x0, x0, {"EN": nothing, "L1": nothing})


def gradient_at(
    point: tf.Tensor,
    ask: Callable[[tf.Tensor], Answer],
    goal: Goal,
    targeted: bool,
    const: tf.Tensor,
) -> tf.Tensor:
    """Of c * hinge + ||point - x0||_2^2, [N, H, W, C]."""
    x0, labels, confidence = goal
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(point)
        excess = losses(ask(point), labels, confidence, targeted)
        loss = tf.reduce_sum(const * excess, axis=1)
        loss += tf.reduce_sum((point - x0) ** 2, axis=[1, 2, 3])
    return tape.gradient(loss, point)


def proceed(
    state: State,
    x0: tf.Tensor,
    descent: tf.Tensor,
    threshold: float | tf.Tensor,
    momentum: tf.Tensor,
    bounds: tuple[float, float],
) -> State:
    """x_{k+1} = S(y_k - descent), and y_{k+1}, beyond it by momentum (x_{k+1} - x_k).

    Args:
        state: where the minimisation is.
        x0: the images, [N, H, W, C].
        descent: the rate times a gradient, likewise.
        threshold: of the shrinkage S.
        momentum: at least 0.
        bounds: least and largest value of a pixel.
    """
    x = shrink(state.y - descent, x0, threshold, bounds)
    return state._replace(x=x, y=x + momentum * (x - state.x))


def looked_at(
    state: State, x0: tf.Tensor, holds: tf.Tensor, const: tf.Tensor, beta: float
) -> State:
    """With x among the best by each rule where it is an example.

    Args:
        state: where the minimisation is.
        x0: the images, [N, H, W, C].
        holds: whether x fools the classifier and each constraint holds, bool [N, 1 + J].
        const: c, [N, 1 + J].
        beta: weight of the L1 norm under the rule EN.
    """
    x = state.x
    l1 = tf.reduce_sum(tf.abs(x - x0), axis=[1, 2, 3])
    en = tf.reduce_sum((x - x0) ** 2, axis=[1, 2, 3]) + beta * l1
    found = tf.reduce_all(holds, axis=1)
    best = bettered(state.best, {"EN": en, "L1": l1}, found, x, const)
    return state._replace(best=best)


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
