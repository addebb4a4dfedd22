"""EAD's iteration, which its searches share: a step of FISTA, and the best iterates by each rule.

Chen et al., "EAD: Elastic-Net Attacks to Deep Neural Networks via Adversarial Examples", AAAI
2018 (arXiv 1709.04114), algorithm 1; Beck & Teboulle, "A Fast Iterative Shrinkage-Thresholding
Algorithm for Linear Inverse Problems", SIAM J. Imaging Sciences 2009.
"""

import tensorflow as tf

from attacks.objective import keep

LEARNING_RATE = 0.01  # of the first iteration, as published


def proceed(
    x: tf.Tensor,
    y: tf.Tensor,
    x0: tf.Tensor,
    descent: tf.Tensor,
    beta: float | tf.Tensor,
    momentum: tf.Tensor,
    bounds: tuple[float, float],
) -> tuple[tf.Tensor, tf.Tensor]:
    """x_{k+1} = S_beta(y_k - descent), and y_{k+1}, beyond it by momentum (x_{k+1} - x_k).

    Args:
        x: x_k, [N, H, W, C]. y: likewise. x0: the images, likewise.
        descent: the rate times a gradient, likewise.
        beta: what the step is shrunk by.
        momentum: at least 0.
        bounds: least and largest value of a pixel.
    """
    x_next = shrink(y - descent, x0, beta, bounds)
    return x_next, x_next + momentum * (x_next - x)


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


def none_yet(x0: tf.Tensor, const: tf.Tensor) -> dict[str, tuple]:
    """The best by each rule before anything was tried; see `bettered`."""
    nothing = tf.fill(tf.shape(x0)[:1], float("inf")), x0, const
    return {"EN": nothing, "L1": nothing}


def bettered(
    best: dict[str, tuple],
    x: tf.Tensor,
    x0: tf.Tensor,
    found: tf.Tensor,
    const: tf.Tensor,
    beta: float,
) -> dict[str, tuple]:
    """The best by each rule, x among them where it is an example.

    Args:
        best: {rule: (distance [N], example [N, H, W, C], its c [N, 1 + J])}.
        x: [N, H, W, C]. x0: likewise.
        found: bool [N], whether x is an example.
        const: c, [N, 1 + J].
        beta: weight of the L1 norm under the rule EN.
    """
    l1 = tf.reduce_sum(tf.abs(x - x0), axis=[1, 2, 3])
    en = tf.reduce_sum((x - x0) ** 2, axis=[1, 2, 3]) + beta * l1
    return {
        rule: keep(best[rule], (tf.where(found, distance, float("inf")), x, const))
        for rule, distance in (("EN", en), ("L1", l1))
    }
