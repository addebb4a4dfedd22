"""C&W's L2 attack: gradient descent in tanh space, which needs no clipping.

Carlini & Wagner, "Towards Evaluating the Robustness of Neural Networks", S&P 2017
(arXiv 1608.04644), section VI.A; `l2_attack.py` in the original.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from attacks import adaptive
from attacks.objective import hinge, is_adversarial, per_image
from attacks.result import AttackResult
from attacks.search import Minimize, attack

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # Adam, with TensorFlow 1's epsilon


def carlini_wagner_l2(
    classifier: Callable,
    x,
    labels,
    *,
    confidence: float | Sequence[float] = 0.0,
    targeted: bool = False,
    learning_rate: float = 0.01,
    max_iterations: int = 1000,
    binary_search_steps: int = 9,
    initial_const: float = 1e-3,
    bounds: tuple[float, float] = (0.0, 1.0),
    batch_size: int = 64,
    search: str = "exact",
    jit_compile: bool | None = None,
    progress: bool = False,
) -> AttackResult | list[AttackResult]:
    """Finds, for each image, the adversarial example of least L2 norm.

    minimise ||x' - x||_2^2 + c * max(0, Z_label(x') - max_other Z(x') + confidence), with
    x' = (tanh(w) + 1) / 2 scaled to the bounds, over w by Adam and over c by bisection.

    Args:
        classifier: from images [N, H, W, C] to logits [N, K]; TensorFlow must be able to
            differentiate it. A Keras model is one.
        x: float images [N, H, W, C] within `bounds`.
        labels: integers [N]: the true classes, or the targets where `targeted`.
        confidence: kappa, the margin by which the label must lose (or the target win); or
            several, which the adaptive search finds for far less than one after the other.
        targeted: whether to reach `labels` instead of leaving them.
        learning_rate: Adam's.
        max_iterations: Adam's steps for each c; the paper's experiments have 1,000.
        binary_search_steps: how many values of c are tried.
        initial_const: the first c.
        bounds: least and largest value of a pixel.
        batch_size: images that are attacked together; their results do not depend on it. In
            the scope of a `tf.distribute` strategy its devices share them.
        search: "exact" is the published schedule. "adaptive" moves c at every iteration
            and takes a twentieth of the gradients; learning_rate, max_iterations,
            binary_search_steps and initial_const do not matter to it.
        jit_compile: whether XLA compiles the loop; None: where there is a GPU.
        progress: whether to show a bar.

    Returns:
        An `AttackResult`; a failed image comes back unchanged with `success` False.
        With several confidences a list of these, in their order.

    Raises:
        InputError, InputTypeError: the images, the labels, a setting or the classifier's
            output are not as described; these are a ValueError and a TypeError.
    """
    results = attack(
        inner_loop,
        [adaptive.L2],
        classifier,
        x,
        labels,
        confidence=confidence,
        targeted=targeted,
        learning_rate=learning_rate,
        max_iterations=max_iterations,
        binary_search_steps=binary_search_steps,
        initial_const=initial_const,
        bounds=bounds,
        batch_size=batch_size,
        search=search,
        jit_compile=jit_compile,
        progress=progress,
    )
    results = [result["L2"] for result in results]
    return results if np.ndim(confidence) else results[0]


def inner_loop(
    classifier: Callable,
    targeted: bool,
    learning_rate: float,
    max_iterations: int,
    bounds: tuple[float, float],
) -> Minimize:
    """The minimisation over w for given c."""
    center, radius = (bounds[1] + bounds[0]) / 2, (bounds[1] - bounds[0]) / 2

    def minimize(x0, labels, const, confidence):
        w0 = tf.atanh((x0 - center) / radius * 0.999999)
        start = tf.tanh(w0) * radius + center  # what distances are measured from
        w, mean, variance = w0, tf.zeros_like(w0), tf.zeros_like(w0)
        best_score, best = tf.fill(tf.shape(labels), float("inf")), x0
        for k in tf.range(max_iterations):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(w)
                example = tf.tanh(w) * radius + center
                logits = classifier(example)
                distance = tf.reduce_sum((example - start) ** 2, axis=[1, 2, 3])
                loss = distance + const * hinge(logits, labels, confidence, targeted)
            gradient = tape.gradient(loss, w)

            better = is_adversarial(logits, labels, confidence, targeted)
            better &= distance < best_score
            best_score = tf.where(better, distance, best_score)
            best = tf.where(per_image(better), example, best)

            t = tf.cast(k + 1, tf.float32)
            mean = BETA_1 * mean + (1 - BETA_1) * gradient
            variance = BETA_2 * variance + (1 - BETA_2) * gradient**2
            rate = learning_rate * tf.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
            w -= rate * mean / (tf.sqrt(variance) + EPSILON)
        return {"L2": (best_score, best)}

    return minimize
