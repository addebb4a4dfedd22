"""EAD: elastic-net attacks, whose L1 term makes perturbations sparse.

Chen, Sharma, Zhang, Yi & Hsieh, "EAD: Elastic-Net Attacks to Deep Neural Networks via
Adversarial Examples", AAAI 2018 (arXiv 1709.04114), algorithm 1; `en_attack.py` and
`l1_attack.py` in the original, which differ in the rule that picks the best iterate.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from attacks import adaptive
from attacks.objective import hinge, is_adversarial, per_image
from attacks.result import AttackResult
from attacks.search import Minimize, attack


def elastic_net(
    classifier: Callable,
    x,
    labels,
    *,
    beta: float = 1e-2,
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
) -> dict[str, AttackResult] | list[dict[str, AttackResult]]:
    """Finds, for each image, the adversarial examples of least elastic-net and L1 distance.

    minimise c * max(0, Z_label(x') - max_other Z(x') + confidence) + ||x' - x||_2^2
    + beta * ||x' - x||_1 over x' within the bounds, by FISTA, and over c by bisection.
    The iterates are the same under both rules, so one run serves them.

    Args:
        classifier: from images [N, H, W, C] to logits [N, K]; TensorFlow must be able to
            differentiate it. A Keras model is one.
        x: float images [N, H, W, C] within `bounds`.
        labels: integers [N]: the true classes, or the targets where `targeted`.
        beta: weight of the L1 norm, and the threshold of the shrinkage.
        confidence: kappa, the margin by which the label must lose (or the target win); or
            several, which the adaptive search finds for far less than one after the other.
        targeted: whether to reach `labels` instead of leaving them.
        learning_rate: of the first iteration; it falls with the square root to 0.
        max_iterations: FISTA's steps for each c; the paper's experiments have 1,000.
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
        {"EN": AttackResult, "L1": AttackResult}: the successful iterates of least
        ||.||_2^2 + beta ||.||_1 and of least ||.||_1; a failed image comes back unchanged
        with `success` False. With several confidences a list of these, in their order.

    Raises:
        InputError, InputTypeError: the images, the labels, a setting or the classifier's
            output are not as described; these are a ValueError and a TypeError.
    """
    results = attack(
        inner_loop,
        [adaptive.elastic_net(beta), adaptive.L1],
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
        beta=beta,
    )
    return results if np.ndim(confidence) else results[0]


def inner_loop(
    classifier: Callable,
    targeted: bool,
    learning_rate: float,
    max_iterations: int,
    bounds: tuple[float, float],
    beta: float,
) -> Minimize:
    """The minimisation over x' for given c, by FISTA."""

    def minimize(x0, labels, const, confidence):
        x = y = x0
        none = tf.fill(tf.shape(labels), float("inf"))
        best_en, best_l1, en_score, l1_score = x0, x0, none, none
        for k in tf.range(max_iterations):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(y)
                loss = const * hinge(classifier(y), labels, confidence, targeted)
                loss += tf.reduce_sum((y - x0) ** 2, axis=[1, 2, 3])
            step = tf.cast(k, tf.float32)
            rate = learning_rate * tf.sqrt(1 - step / max_iterations)
            x_next = shrink(y - rate * tape.gradient(loss, y), x0, beta, bounds)
            y = x_next + step / (step + 3) * (x_next - x)
            x = x_next

            l1 = tf.reduce_sum(tf.abs(x - x0), axis=[1, 2, 3])
            en = tf.reduce_sum((x - x0) ** 2, axis=[1, 2, 3]) + beta * l1
            fooled = is_adversarial(classifier(x), labels, confidence, targeted)
            en_better, l1_better = fooled & (en < en_score), fooled & (l1 < l1_score)
            en_score, l1_score = (
                tf.where(en_better, en, en_score),
                tf.where(l1_better, l1, l1_score),
            )
            best_en = tf.where(per_image(en_better), x, best_en)
            best_l1 = tf.where(per_image(l1_better), x, best_l1)
            if k == 0 and tf.reduce_all(x == x0):
                break  # for good: the gradient stays the same, and the rate only falls
        return {"EN": (en_score, best_en), "L1": (l1_score, best_l1)}

    return minimize


def shrink(
    z: tf.Tensor, x0: tf.Tensor, beta: float, bounds: tuple[float, float]
) -> tf.Tensor:
    """S_beta(z): x0 where |z - x0| <= beta, else z moved by beta toward x0, in the bounds.

    The projected shrinkage-thresholding of Chen et al.; all tensors are [N, H, W, C].
    """
    low, high = bounds
    difference = z - x0
    shrunk = tf.clip_by_value(z - tf.sign(difference) * beta, low, high)
    return tf.where(tf.abs(difference) <= beta, x0, shrunk)
