"""The search over c, the weight of the hinge, that C&W and EAD share.

`CarliniL2.attack_batch` and `EADL1.attack_batch` in the originals: c starts small, grows
tenfold until an image is fooled, and is then bisected. Images are attacked in chunks of one
size, so that the inner loop is traced once.
"""

import functools
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from tqdm.auto import tqdm

from attacks.checks import check_classifier, check_inputs, check_settings
from attacks.result import AttackResult, measured

UNBOUNDED = 1e10  # the originals' upper bound on c while no c has succeeded
REPEAT_FROM = 10  # with so many steps, the last one runs at the upper bound
# From 16 images on, TensorFlow's CPU kernels give an image the same bits in any batch.
SMALLEST_CHUNK = 16

# One step: (images, labels, const, confidence) -> {rule: (score [n], example [n, H, W, C])},
# the best successful iterate of each image by each rule; the score is inf where none was.
Minimize = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], dict]


def next_const(
    const: np.ndarray, lower: np.ndarray, upper: np.ndarray, success: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The c to try next for each image, and the bounds that hold for it by now.

    Args:
        const, lower, upper: float64 [N], the c just tried and its bounds so far.
        success: bool [N], whether any iterate fooled the classifier at that c.

    Returns:
        const, lower, upper: float64 [N].
    """
    upper = np.where(success, np.minimum(upper, const), upper)
    lower = np.where(success, lower, np.maximum(lower, const))
    bounded = upper < UNBOUNDED
    return np.where(bounded, (lower + upper) / 2, const * 10), lower, upper


def search_const(
    minimize: Callable[[np.ndarray], dict],
    images: np.ndarray,
    initial_const: float,
    steps: int,
    after_step: Callable[[], object] = lambda: None,
) -> dict[str, AttackResult]:
    """The best example of each image over all steps of the search, by each rule.

    Args:
        minimize: from c, float64 [N], to {rule: (score [N], example [N, H, W, C])}.
        images: float32 [N, H, W, C], what the examples' distances are measured from.
        initial_const: the first c. steps: how many are tried.
        after_step: called after each step.
    """
    count = len(images)
    const, lower = np.full(count, float(initial_const)), np.zeros(count)
    upper = np.full(count, UNBOUNDED)
    best = {}
    for step in range(steps):
        if steps >= REPEAT_FROM and step == steps - 1:
            const = upper
        found = minimize(const)
        for rule, (score, example) in found.items():
            score, example = np.asarray(score), np.asarray(example)
            if rule not in best:
                best[rule] = (np.full(count, np.inf), images, const)
            best_score, best_example, best_const = best[rule]
            better, failed = score < best_score, ~np.isfinite(best_score)
            best[rule] = (
                np.where(better, score, best_score),
                np.where(better[:, None, None, None], example, best_example),
                np.where(better | failed, const, best_const),
            )
        success = np.any([np.isfinite(score) for score, _ in found.values()], axis=0)
        const, lower, upper = next_const(const, lower, upper, success)
        after_step()
    return {
        rule: measured(images, example, np.isfinite(score), const)
        for rule, (score, example, const) in best.items()
    }


def compiled(
    inner_loop: Callable[..., Minimize],
    classifier: Callable,
    jit_compile: bool,
    **settings,
) -> Minimize:
    """The inner loop for a classifier and settings, as one `tf.function`."""
    return tf.function(inner_loop(classifier, **settings), jit_compile=jit_compile)


compiled_once = functools.lru_cache(maxsize=8)(compiled)


def attack(
    inner_loop: Callable[..., Minimize],
    classifier: Callable,
    x,
    labels,
    *,
    targeted: bool,
    learning_rate: float,
    max_iterations: int,
    confidence: float,
    initial_const: float,
    binary_search_steps: int,
    bounds: tuple[float, float],
    batch_size: int,
    jit_compile: bool | None,
    progress: bool,
    **own_settings: float,
) -> dict[str, AttackResult]:
    """Checks the inputs, compiles the inner loop and searches c for every image, in chunks.

    Args:
        inner_loop: from the classifier, the attack's settings (targeted, learning_rate,
            max_iterations, bounds, own_settings) to a `Minimize`.
        own_settings: of this attack alone, at least 0.
        The rest is as in the attacks.

    Returns:
        {rule: AttackResult}, in the order of x.
    """
    check_settings(
        confidence=confidence,
        learning_rate=learning_rate,
        max_iterations=max_iterations,
        initial_const=initial_const,
        binary_search_steps=binary_search_steps,
        batch_size=batch_size,
        **own_settings,
    )
    x, labels = check_inputs(x, labels, bounds)
    check_classifier(classifier, x, labels, batch_size)
    if jit_compile is None:  # on a CPU, XLA's convolutions are slower than TensorFlow's
        jit_compile = bool(tf.config.list_physical_devices("GPU"))
    # A Keras model's graph does not change, but what another callable does may.
    compile_loop = compiled_once if isinstance(classifier, keras.Model) else compiled
    minimize = compile_loop(
        inner_loop,
        classifier,
        jit_compile,
        targeted=targeted,
        learning_rate=learning_rate,
        max_iterations=max_iterations,
        bounds=tuple(bounds),
        **own_settings,
    )

    chunks = -(-len(x) // batch_size)
    size = max(-(-len(x) // chunks), SMALLEST_CHUNK)
    parts = []
    with tqdm(
        total=chunks * binary_search_steps,
        unit="step",
        disable=not progress,
        leave=False,
    ) as bar:
        for start in range(0, len(x), size):
            images = x[start : start + size]
            padding = [(0, size - len(images))]
            padded = np.pad(images, padding + [(0, 0)] * 3, mode="edge")
            padded_labels = np.pad(labels[start : start + size], padding, mode="edge")

            def minimize_chunk(const, padded=padded, padded_labels=padded_labels):
                return minimize(
                    tf.constant(padded),
                    tf.constant(padded_labels),
                    tf.constant(const, tf.float32),
                    tf.fill([size], float(confidence)),
                )

            found = search_const(
                minimize_chunk, padded, initial_const, binary_search_steps, bar.update
            )
            parts.append(
                {
                    rule: AttackResult(*(field[: len(images)] for field in result))
                    for rule, result in found.items()
                }
            )
    return {
        rule: AttackResult(
            *(np.concatenate(f) for f in zip(*(part[rule] for part in parts)))
        )
        for rule in parts[0]
    }
