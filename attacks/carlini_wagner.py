"""C&W's L2 attack: gradient descent in tanh space, which needs no clipping.

Carlini & Wagner, "Towards Evaluating the Robustness of Neural Networks", S&P 2017
(arXiv 1608.04644), section VI.A; `l2_attack.py` in the original.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from attacks.checks import check_search
from attacks.exact import ExactSearch, Minimize
from attacks.minimum_norm import L2, MinimumNormSearch
from attacks.objective import Answer, keep, losses, met
from attacks.result import AttackResult
from attacks.search import attack
from attacks.victim import Victim

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8  # Adam, with TensorFlow 1's epsilon


def carlini_wagner_l2(
    classifier: Callable,
    x,
    labels,
    *,
    confidence: float | Sequence[float] = 0.0,
    targeted: bool = False,
    learning_rate: float | None = None,
    max_iterations: int | None = None,
    binary_search_steps: int | None = None,
    initial_const: float | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    batch_size: int = 64,
    search: str = "exact",
    gradients: int | None = None,
    constraints: Callable | None = None,
    jit_compile: bool | None = None,
    progress: bool = False,
) -> AttackResult | list[AttackResult]:
    """Finds, for each image, the adversarial example of least L2 norm.

    minimise ||x' - x||_2^2 + c * max(0, Z_label(x') - max_other Z(x') + confidence), with
    x' = (tanh(w) + 1) / 2 scaled to the bounds, over w by Adam and over c by bisection.

    Args:
        classifier: from images [N, H, W, C] to logits [N, K]; TensorFlow must be able to
            differentiate it. A Keras model is one. From several classifiers [N, M, K], all
            of which are to be fooled.
        x: float images [N, H, W, C] within `bounds`.
        labels: integers [N]: the true classes, or the targets where `targeted`.
        confidence: kappa, the margin by which the label must lose (or the target win); or
            several, which the primal-dual search finds, without constraints, for far less
            than one after the other.
        targeted: whether to reach `labels` instead of leaving them.
        learning_rate: Adam's, 0.01 as published.
        max_iterations: Adam's steps for each c, 1,000 as in the paper's experiments.
        binary_search_steps: how many values of c are tried, 9 as published.
        initial_const: the first c, 1e-3 as published.
        bounds: least and largest value of a pixel.
        batch_size: images that are attacked together; their results do not depend on it but
            for rounding. Below 16 a batch is filled up to 16 with copies of its last image,
            at the cost of 16, because smaller ones get other bits from TensorFlow's kernels.
            In the scope of a `tf.distribute` strategy its devices share the images.
        search: "exact" is the published schedule, to which learning_rate, max_iterations,
            binary_search_steps and initial_const belong. "primal_dual" is
            `minimum_norm(norm="L2")`: nearer examples with a thirtieth of the gradients,
            and has `gradients`.
        gradients: of the primal-dual search, at most as many for an image where there is one
            confidence; a sweep scales likewise. None: 300, as tuned.
        constraints: what an example must satisfy besides, such as passing a detector: from
            images to [N, J], at most 0 where satisfied, differentiable; None for nothing.
        jit_compile: whether XLA compiles the loop; None: where there is a GPU.
        progress: whether to show a bar, where somebody watches.

    Returns:
        An `AttackResult`; a failed image comes back unchanged with `success` False.
        With several confidences a list of these, in their order.

    Raises:
        InputError, InputTypeError: the images, the labels, a setting or the output of the
            classifier or the constraints are not as described; these are a ValueError and a
            TypeError.
    """
    settings = check_search(
        search,
        learning_rate=learning_rate,
        max_iterations=max_iterations,
        binary_search_steps=binary_search_steps,
        initial_const=initial_const,
        gradients=gradients,
    )
    how: ExactSearch | MinimumNormSearch
    if search == "exact":
        how = ExactSearch(inner_loop, **settings)
    else:
        how = MinimumNormSearch((L2,), **settings, sweeps=constraints is None)
    victim = Victim(classifier, targeted, bounds, jit_compile, constraints)
    found = attack(how, victim, x, labels, confidence, batch_size, progress)
    results = [result["L2"] for result in found]
    return results if np.ndim(confidence) else results[0]


def inner_loop(
    ask: Callable[[tf.Tensor], Answer],
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
        best = tf.fill(tf.shape(labels), float("inf")), x0
        for k in tf.range(max_iterations):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(w)
                example = tf.tanh(w) * radius + center
                answer = ask(example)
                distance = tf.reduce_sum((example - start) ** 2, axis=[1, 2, 3])
                excess = losses(answer, labels, confidence, targeted)
                loss = distance + tf.reduce_sum(const * excess, axis=1)
            gradient = tape.gradient(loss, w)

            found = tf.reduce_all(met(answer, labels, confidence, targeted), axis=1)
            best = keep(best, (tf.where(found, distance, float("inf")), example))

            t = tf.cast(k + 1, tf.float32)
            mean = BETA_1 * mean + (1 - BETA_1) * gradient
            variance = BETA_2 * variance + (1 - BETA_2) * gradient**2
            rate = learning_rate * tf.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
            w -= rate * mean / (tf.sqrt(variance) + EPSILON)
        return {"L2": best}

    return minimize
