"""The published search over c, the weight of the hinge, that C&W and EAD share.

`CarliniL2.attack_batch` and `EADL1.attack_batch` in the originals: c starts small, grows
tenfold until an image is fooled, and is then bisected; for each c the whole minimisation runs
anew.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from attacks.checks import check_settings
from attacks.objective import keep
from attacks.result import AttackResult, measured
from attacks.victim import Victim

UNBOUNDED = 1e10  # the originals' upper bound on c while no c has succeeded
REPEAT_FROM = 10  # with so many steps, the last one runs at the upper bound

# One run: (images, labels, const, confidence) -> {rule: (score [n], example [n, H, W, C], ...)},
# the best successful iterate of each image by each rule; the score is inf where none was.
Minimize = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], dict]


class ExactSearch:
    """The published schedule: 9 steps of 1,000 iterations by default.

    Args:
        inner_loop: from the classifier, targeted, bounds, learning_rate, max_iterations and
            its own settings to a `Minimize`.
        learning_rate: of the inner loop.
        max_iterations: for each c.
        binary_search_steps: how many values of c are tried.
        initial_const: the first c.
        own: settings of this inner loop alone.

    Raises:
        InputError, InputTypeError: a setting is not as described.
    """

    def __init__(
        self,
        inner_loop: Callable[..., Minimize],
        *,
        learning_rate: float = 0.01,
        max_iterations: int = 1000,
        binary_search_steps: int = 9,
        initial_const: float = 1e-3,
        **own: object,
    ):
        check_settings(
            learning_rate=learning_rate,
            max_iterations=max_iterations,
            binary_search_steps=binary_search_steps,
            initial_const=initial_const,
        )
        self._inner_loop = inner_loop
        self._steps, self._initial_const = binary_search_steps, initial_const
        self._settings = {
            "learning_rate": learning_rate,
            "max_iterations": max_iterations,
            **own,
        }

    def steps(self, confidences: Sequence[float]) -> int:
        """How often `solve` calls `after_step`."""
        return self._steps * len(confidences)

    def solve(
        self,
        victim: Victim,
        images: np.ndarray,
        labels: np.ndarray,
        confidences: Sequence[float],
        after_step: Callable[[], object],
    ) -> list[dict[str, AttackResult]]:
        """For each confidence the best examples of a chunk by each rule."""
        minimize = victim.loop(self._inner_loop, **self._settings)
        fixed = tf.constant(images), tf.constant(labels)

        def solve_one(confidence: float) -> dict[str, AttackResult]:
            kappa = tf.fill([len(images)], float(confidence))
            return search_const(
                lambda c: minimize(*fixed, tf.constant(c[:, None], tf.float32), kappa),
                images,
                self._initial_const,
                self._steps,
                after_step,
            )

        return [solve_one(confidence) for confidence in confidences]


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
        initial_const: the first c.
        steps: how many are tried.
        after_step: called after each step.
    """
    count = len(images)
    const, lower = np.full(count, float(initial_const)), np.zeros(count)
    upper = np.full(count, UNBOUNDED)
    best: dict[str, tuple] = {}
    for step in range(steps):
        if steps >= REPEAT_FROM and step == steps - 1:
            const = upper
        found = {rule: (*of[:2], const) for rule, of in minimize(const).items()}
        best = {rule: keep(best.get(rule, of), of) for rule, of in found.items()}
        success = np.any([np.isfinite(score) for score, _, _ in found.values()], axis=0)
        tried = const
        const, lower, upper = next_const(const, lower, upper, success)
        after_step()
    results = {}
    for rule, of in best.items():
        score, example, its_const = map(np.asarray, of)
        success = np.isfinite(score)
        its_const = np.where(success, its_const, tried)
        results[rule] = measured(images, example, success, its_const)
    return results


def next_const(
    const: np.ndarray, lower: np.ndarray, upper: np.ndarray, success: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The c to try next for each image, and the bounds that hold for it by now.

    Args:
        const: float64 [N], the c just tried.
        lower: float64 [N], its bound so far.
        upper: float64 [N], likewise.
        success: bool [N], whether any iterate fooled the classifier at that c.

    Returns:
        const, lower, upper: float64 [N].
    """
    upper = np.where(success, np.minimum(upper, const), upper)
    lower = np.where(success, lower, np.maximum(lower, const))
    bounded = upper < UNBOUNDED
    return np.where(bounded, (lower + upper) / 2, const * 10), lower, upper
