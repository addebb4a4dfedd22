"""The search over c, the weight of the hinge, that C&W and EAD share.

`CarliniL2.attack_batch` and `EADL1.attack_batch` in the originals: c starts small, grows
tenfold until an image is fooled, and is then bisected. Images are attacked in chunks of one
size, so that the inner loop is traced once.
"""

import functools
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf
from tqdm.auto import tqdm

from attacks import adaptive, sweep
from attacks.checks import (
    check_bounds,
    check_choice,
    check_classifier,
    check_confidences,
    check_inputs,
    check_settings,
)
from attacks.classifier import logits_of
from attacks.devices import current_strategy, shared_out
from attacks.objective import is_adversarial
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
    inner_loop: Callable[..., Callable],
    classifier: Callable,
    jit_compile: bool,
    strategy: tf.distribute.Strategy | None,
    **settings,
) -> Callable:
    """An inner loop for a classifier and settings, as one `tf.function` on all devices."""
    logits = logits_of(classifier)
    loop = tf.function(inner_loop(logits, **settings), jit_compile=jit_compile)
    return shared_out(loop, strategy) if strategy else loop


compiled_once = functools.lru_cache(maxsize=16)(compiled)


def verification(classifier: Callable, targeted: bool) -> Callable:
    """What an example must pass in the end: the classifier's own word, outside the loops."""

    def holds(examples, labels, confidence):
        return is_adversarial(classifier(examples), labels, confidence, targeted)

    return holds


def attack(
    inner_loop: Callable[..., Minimize],
    rules: Sequence[adaptive.Rule],
    classifier: Callable,
    x,
    labels,
    *,
    confidence: float | Sequence[float],
    targeted: bool,
    learning_rate: float,
    max_iterations: int,
    binary_search_steps: int,
    initial_const: float,
    bounds: tuple[float, float],
    batch_size: int,
    search: str,
    jit_compile: bool | None,
    progress: bool,
    **own_settings: float,
) -> list[dict[str, AttackResult]]:
    """Checks the inputs and attacks every image, in chunks of one size.

    Args:
        inner_loop: of the exact search: from the classifier and the attack's settings
            (targeted, learning_rate, max_iterations, bounds, own_settings) to a `Minimize`.
        rules: of the adaptive search.
        own_settings: of this attack alone, at least 0.
        The rest is as in the attacks.

    Returns:
        For each confidence {rule: AttackResult}, in the order of x.
    """
    check_settings(
        learning_rate=learning_rate,
        max_iterations=max_iterations,
        initial_const=initial_const,
        binary_search_steps=binary_search_steps,
        batch_size=batch_size,
        **own_settings,
    )
    confidences = check_confidences(confidence)
    check_choice("search", search, ("exact", "adaptive"))
    check_choice("targeted", targeted, (True, False))
    check_choice("progress", progress, (True, False))
    check_choice("jit_compile", jit_compile, (None, True, False))
    bounds = check_bounds(bounds)
    x, labels = check_inputs(x, labels, bounds)
    check_classifier(classifier, x, labels, batch_size)
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    if jit_compile is None:  # on a CPU, XLA's convolutions are slower than TensorFlow's
        jit_compile = has_gpu
    strategy = current_strategy()
    devices = strategy.num_replicas_in_sync if strategy else 1
    # A Keras model's graph does not change, but what another callable does may.
    compile_loop = compiled_once if isinstance(classifier, keras.Model) else compiled
    loop = functools.partial(
        compile_loop,
        classifier=classifier,
        strategy=strategy,
        targeted=targeted,
    )
    # As Keras compiles `predict`: an example that holds here holds there.
    holds = loop(verification, jit_compile=jit_compile and has_gpu)
    loop = functools.partial(loop, jit_compile=jit_compile, bounds=bounds)

    if search == "exact":
        minimize = loop(
            inner_loop,
            learning_rate=learning_rate,
            max_iterations=max_iterations,
            **own_settings,
        )
        steps = binary_search_steps * len(confidences)

        def solve(images, labels, after_step):
            fixed = tf.constant(images), tf.constant(labels)

            def solve_one(confidence):
                kappa = tf.fill([len(images)], float(confidence))
                return search_const(
                    lambda c: minimize(*fixed, tf.constant(c, tf.float32), kappa),
                    images,
                    initial_const,
                    binary_search_steps,
                    after_step,
                )

            return [solve_one(confidence) for confidence in confidences]

    else:
        phase = functools.cache(
            lambda rule: loop(adaptive.inner_loop, rule=rule, rules=tuple(rules))
        )
        steps = (
            adaptive.PASSES * len(rules)
            if len(confidences) == 1
            else len(set(confidences))
        )

        def solve(images, labels, after_step):
            problem = adaptive.Problem(
                phase,
                rules,
                images,
                labels,
                logits_of(classifier)(images),
                targeted,
                bounds,
                after_step,
            )
            if len(confidences) == 1:
                return [adaptive.search(problem, confidences[0])]
            return sweep.search(problem, confidences)

    chunks = -(-len(x) // batch_size)
    share = max(-(-len(x) // chunks // devices), SMALLEST_CHUNK)
    size = share * devices
    parts = []
    with tqdm(
        total=chunks * steps, unit="step", disable=not progress, leave=False
    ) as bar:
        for start in range(0, len(x), size):
            count = len(x[start : start + size])
            padding = [(0, size - count)]
            images = np.pad(
                x[start : start + size], padding + [(0, 0)] * 3, mode="edge"
            )
            its_labels = np.pad(labels[start : start + size], padding, mode="edge")
            found = [
                {
                    rule: verified(holds, images, its_labels, kappa, result)
                    for rule, result in by_rule.items()
                }
                for kappa, by_rule in zip(
                    confidences, solve(images, its_labels, bar.update), strict=True
                )
            ]
            parts.append([first(result, count) for result in found])
    return [joined(of_one) for of_one in zip(*parts, strict=True)]


def verified(
    holds: Callable,
    images: np.ndarray,
    labels: np.ndarray,
    confidence: float,
    result: AttackResult,
) -> AttackResult:
    """A result whose every success holds when the classifier is asked once more.

    In a chunk of the size of the loops', for which its kernels give the same bits.
    """
    kappa = tf.fill([len(images)], float(confidence))
    hold = holds(tf.constant(result.adversarial), tf.constant(labels), kappa).numpy()
    return measured(images, result.adversarial, result.success & hold, result.const)


def first(results: dict[str, AttackResult], count: int) -> dict[str, AttackResult]:
    """The results of the first images."""
    return {
        rule: AttackResult(*(field[:count] for field in result))
        for rule, result in results.items()
    }


def joined(parts: Sequence[dict[str, AttackResult]]) -> dict[str, AttackResult]:
    """The results of several chunks as those of all images."""
    return {
        rule: AttackResult(
            *(np.concatenate(f) for f in zip(*(part[rule] for part in parts)))
        )
        for rule in parts[0]
    }
