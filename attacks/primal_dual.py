"""The primal-dual search of EAD: the published iteration, with c moved at each of its steps.

The published search bisects c and minimises anew for each. Its examples do not minimise the
objective: the iteration shrinks by beta whatever its step, so at a step of 0.01 it goes toward
the least ||d||_2^2 + 100 beta ||d||_1 + c * hinge, and the example that is kept is one that it
passes on the way. What such examples are like, and whom else they fool, is a matter of the
iteration. So it stays, in `elastic_net.inner_loop`, which is that of both searches, and c takes
another course: after each iteration log c falls where the example fools the classifier and
rises where it does not, by the sign alone, so that it does not depend on the logits' scale, and
by less and less; to ten times its first value at most, because where the margin is far off c
rises for as long as the example is under way, and what a c that is far too large saturates,
shrinkage does not bring back. Step and shrinkage are longer than published at first where beta
is small, both by the same factor, so that what the iteration goes toward stays the same; never
so long that a pixel is moved by more than with the largest published beta, because what is
moved farther is sparser, and so of another kind.

Two runs begin with larger c than a linear classifier would need: their iterates cross the
boundary sooner and come back from farther beyond as c falls; they end in different places,
and the best example of each image is kept. An image's result at one confidence depends on no
other confidence.

By default 200 gradients do what 9 steps of 1,000 iterations do. How far the result depends on
each number that was set by trial is in docs/primal_dual.md. The search for the least distance
itself is `attacks.minimum_norm`.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from attacks.checks import InputError, check_settings
from attacks.exact import Minimize
from attacks.objective import Answer, gaps, keep
from attacks.result import AttackResult, measured
from attacks.victim import Victim

LEARNING_RATE = 0.01  # as published
LARGEST_BETA = 0.1  # of those published, for pixels in a range of 1
STARTS = (2.0, 12.0)  # the first c of each run, in those of the linearised problem


class Schedule(NamedTuple):
    """How an iteration goes on; pairs are from the first to the last, geometric in between.

    Attributes:
        stride: what the published step and shrinkage are multiplied by.
        dual_step: by how much log c moves.
        farthest: what c may rise to, in those that the iteration began with.
    """

    stride: tuple[float, float]
    dual_step: tuple[float, float] = (0.2, 0.05)
    farthest: float = 10.0

    @classmethod
    def of(cls, beta: float, bounds: tuple[float, float]) -> "Schedule":
        """Up to three times the published strides at first, at the end those.

        Args:
            beta: weight of the L1 norm.
            bounds: least and largest value of a pixel.
        """
        low, high = bounds
        longest = LARGEST_BETA * (high - low) / beta if beta else np.inf
        return cls(stride=(float(np.clip(longest, 1.0, 3.0)), 1.0))


class PrimalDualSearch:
    """The best example of each image by each rule over two runs, for each confidence.

    Args:
        inner_loop: EAD's; see `elastic_net.inner_loop`.
        beta: weight of the L1 norm.
        gradients: that an image takes at one confidence, at most.

    Raises:
        InputError, InputTypeError: `gradients` is no whole number, or leaves a run without
            an iteration.
    """

    def __init__(
        self, inner_loop: Callable[..., Minimize], *, beta: float, gradients: int = 200
    ):
        check_settings(gradients=gradients)
        least = 1 + len(STARTS)  # the first is taken for the linearised problem
        if gradients < least:
            raise InputError(
                f"gradients must be at least {least} for this attack, got {gradients}."
            )
        self._inner_loop, self._beta = inner_loop, beta
        self._iterations = (gradients - 1) // len(STARTS)

    def steps(self, confidences: Sequence[float]) -> int:
        """How often `solve` calls `after_step`."""
        return len(STARTS) * len(confidences)

    def solve(
        self,
        victim: Victim,
        images: np.ndarray,
        labels: np.ndarray,
        confidences: Sequence[float],
        after_step: Callable[[], object],
    ) -> list[dict[str, AttackResult]]:
        """For each confidence the best examples of a chunk by each rule."""
        minimize = victim.loop(
            self._inner_loop,
            learning_rate=LEARNING_RATE,
            max_iterations=self._iterations,
            beta=self._beta,
            schedule=Schedule.of(self._beta, victim.bounds),
        )
        linear = victim.loop(linear_const, weight_l1=self._beta / LEARNING_RATE)
        fixed = tf.constant(images), tf.constant(labels)

        def solve_one(confidence: float) -> dict[str, AttackResult]:
            kappa = tf.fill([len(images)], float(confidence))
            const = linear(*fixed, kappa)
            runs = []
            for start in STARTS:
                runs.append(minimize(*fixed, start * const, kappa))
                after_step()
            results = {}
            for rule in runs[0]:
                best = functools.reduce(keep, [run[rule] for run in runs])
                score, example, multipliers = map(np.asarray, best)
                const = multipliers[:, 0].astype(np.float64)
                results[rule] = measured(images, example, np.isfinite(score), const)
            return results

        return [solve_one(confidence) for confidence in confidences]


def linear_const(
    ask: Callable[[tf.Tensor], Answer],
    targeted: bool,
    bounds: tuple[float, float],
    weight_l1: float,
) -> Callable:
    """The c with which ||d||_2^2 + weight_l1 ||d||_1 + c * hinge has its least value beyond the
    boundary of the classifier's linearisation, or somewhat less: the sum of what either
    distance would need by itself.
    """

    def const(x0, labels, confidence):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x0)
            columns, _ = gaps(ask(x0), labels, confidence, targeted)
            gap = columns[:, 0]
        gradient = tape.gradient(gap, x0)
        square = tf.reduce_sum(gradient**2, axis=[1, 2, 3])
        steepest = tf.reduce_max(tf.abs(gradient), axis=[1, 2, 3])
        gap = tf.maximum(gap, 1e-3)
        const = 2 * gap / (square + 1e-12) + weight_l1 / (steepest + 1e-12)
        others = tf.ones_like(columns[:, 1:]) * const[:, None]
        return tf.concat([const[:, None], others], axis=1)

    return const
