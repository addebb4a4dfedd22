"""The primal-dual search of EAD: the published iteration, with c moved at each of its steps.

The published search bisects c and minimises anew for each. Its examples do not minimise the
objective: the iteration shrinks by beta whatever its step, so at a step of 0.01 it goes toward
the least ||d||_2^2 + 100 beta ||d||_1 + c * hinge, and the example that is kept is one that it
passes on the way. What such examples are like, and whom else they fool, is a matter of the
iteration. So it stays (`attacks.fista`), and c takes another course: after each iteration log c
falls where the example fools the classifier and rises where it does not, by the sign alone, so
that it does not depend on the logits' scale, and by less and less; to ten times its first value
at most, because where the margin is far off c rises for as long as the example is under way, and
what a c that is far too large saturates, shrinkage does not bring back. Step and shrinkage are
longer than published at first where beta is small, both by the same factor, so that what the
iteration goes toward stays the same; never so long that a pixel is moved by more than with the
largest published beta, because what is moved farther is sparser, and so of another kind. Where
they are as published at first, they end shorter: the published iteration has ten times as many
to come to rest in.

Two runs begin with larger c than a linear classifier would need: their iterates cross the
boundary sooner and come back from farther beyond as c falls; they end in different places,
and the best example of each image is kept. One of them is the published iteration, with the
gradient at y_k. The other has the hinge's at x_k, where the classifier is asked anyway whether
x_k fools it; its iterations spare a pass forward, and it has a few more. Where the margin is far
off, the first finds nearer examples, and elsewhere the second ones that are more of the
published kind. The runs depend on nothing of each other, so that TensorFlow computes both at a
time. An image's result at one confidence depends on no other confidence.

By default 220 gradients do what 9 steps of 1,000 iterations do. How far the result depends on
each number that was set by trial is in docs/primal_dual.md. The search for the least distance
itself is `attacks.minimum_norm`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from attacks.checks import InputError, check_settings
from attacks.fista import (
    LEARNING_RATE,
    Goal,
    at_rest,
    gradient_at,
    looked_at,
    proceed,
)
from attacks.lagrangian import between
from attacks.objective import Answer, gaps, keep, losses, met
from attacks.result import AttackResult, measured
from attacks.victim import Victim

GRADIENTS = 220  # where the caller names no other number
LARGEST_BETA = 0.1  # of those published, for pixels in a range of 1


class Schedule(NamedTuple):
    """How the runs go on, the one with gradients at y and the one with them at x.

    Attributes:
        iterations: of either run.
        stride: what the published step and shrinkage are multiplied by, from the first to the
            last iteration, geometric in between.
        starts: the first c of either run, in those of the linearised problem.
        dual_step: by how much log c moves, from the first to the last iteration, likewise.
        farthest: what c may rise to, in those that the run began with.
    """

    iterations: tuple[int, int]
    stride: tuple[float, float]
    starts: tuple[float, float] = (12.0, 3.0)
    dual_step: tuple[float, float] = (0.2, 0.05)
    farthest: float = 10.0

    @classmethod
    def of(cls, beta: float, bounds: tuple[float, float], gradients: int) -> "Schedule":
        """Up to two and a half times the published strides at first, at the end those or less.

        Args:
            beta: weight of the L1 norm.
            bounds: least and largest value of a pixel.
            gradients: of an image; one is taken for the linearised problem.
        """
        low, high = bounds
        longest = LARGEST_BETA * (high - low) / beta if beta else np.inf
        at_y = (gradients - 1) * 5 // 11  # whose iterations cost a pass more
        first = float(np.clip(longest, 1.0, 2.5))
        return cls(
            iterations=(at_y, gradients - 1 - at_y),
            stride=(first, min(1.0, 0.65 * first)),
        )


class PrimalDualSearch:
    """The best example of each image by each rule over two runs, for each confidence.

    Args:
        beta: weight of the L1 norm.
        gradients: that an image takes at one confidence, at most.

    Raises:
        InputError, InputTypeError: `gradients` is no whole number, or leaves a run without
            an iteration.
    """

    def __init__(self, *, beta: float, gradients: int = GRADIENTS):
        check_settings(gradients=gradients)
        least = 4  # with which either run has one
        if gradients < least:
            raise InputError(
                f"gradients must be at least {least} for this attack, got {gradients}."
            )
        self._beta, self._gradients = beta, gradients

    def steps(self, confidences: Sequence[float]) -> int:
        """How often `solve` calls `after_step`."""
        return len(confidences)

    def solve(
        self,
        victim: Victim,
        images: np.ndarray,
        labels: np.ndarray,
        confidences: Sequence[float],
        after_step: Callable[[], object],
    ) -> list[dict[str, AttackResult]]:
        """For each confidence the best examples of a chunk by each rule."""
        schedule = Schedule.of(self._beta, victim.bounds, self._gradients)
        minimize = victim.loop(inner_loop, beta=self._beta, schedule=schedule)
        fixed = tf.constant(images), tf.constant(labels)

        def solve_one(confidence: float) -> dict[str, AttackResult]:
            best = minimize(*fixed, tf.fill([len(images)], float(confidence)))
            after_step()
            results = {}
            for rule, of in best.items():
                score, example, multipliers = map(np.asarray, of)
                const = multipliers[:, 0].astype(np.float64)
                results[rule] = measured(images, example, np.isfinite(score), const)
            return results

        return [solve_one(confidence) for confidence in confidences]


def inner_loop(
    ask: Callable[[tf.Tensor], Answer],
    targeted: bool,
    bounds: tuple[float, float],
    beta: float,
    schedule: Schedule,
) -> Callable:
    """The runs, each from a c of its own; of each image the best example by each rule."""

    def paced(k, iterations):
        """The rate, threshold, momentum and factor of c in iteration k."""
        step = tf.cast(k, tf.float32)
        part = step / iterations
        stride = between(schedule.stride, part)
        rate = stride * LEARNING_RATE * tf.sqrt(1 - part)
        factor = tf.exp(between(schedule.dual_step, part))
        return rate, stride * beta, step / (step + 3), factor

    def moved(const, holds, factor, first):
        const *= tf.where(holds, 1 / factor, factor)
        return tf.minimum(const, schedule.farthest * first)

    def with_gradients_at_y(goal, first, iterations):
        x0, labels, confidence = goal
        state, const = at_rest(x0, first), first
        for k in tf.range(iterations):
            rate, threshold, momentum, factor = paced(k, iterations)
            descent = rate * gradient_at(state.y, ask, goal, targeted, const)
            state = proceed(state, x0, descent, threshold, momentum, bounds)
            holds = met(ask(state.x), labels, confidence, targeted)
            state = looked_at(state, x0, holds, const, beta)
            const = moved(const, holds, factor, first)
        return state.best

    def with_gradients_at_x(goal, first, iterations):
        x0, labels, confidence = goal
        state, const = at_rest(x0, first), first
        for k in tf.range(iterations):
            rate, threshold, momentum, factor = paced(k, iterations)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(state.x)
                answer = ask(state.x)
                holds = met(answer, labels, confidence, targeted)
                state = looked_at(state, x0, holds, const, beta)
                const = moved(const, holds, factor, first)
                excess = losses(answer, labels, confidence, targeted)
                loss = tf.reduce_sum(const * excess, axis=1)
            descent = rate * (tape.gradient(loss, state.x) + 2 * (state.y - x0))
            state = proceed(state, x0, descent, threshold, momentum, bounds)
        return state.best

    def minimize(x0, labels, confidence):
        const = linear_const(ask, x0, labels, confidence, targeted, beta)
        goal = Goal(x0, labels, confidence)
        (far_y, far_x), (many_y, many_x) = schedule.starts, schedule.iterations
        one = with_gradients_at_y(goal, far_y * const, many_y)
        other = with_gradients_at_x(goal, far_x * const, many_x)
        return {rule: keep(one[rule], other[rule]) for rule in one}

    return minimize


def linear_const(
    ask: Callable[[tf.Tensor], Answer],
    x0: tf.Tensor,
    labels: tf.Tensor,
    confidence: tf.Tensor,
    targeted: bool,
    beta: float,
) -> tf.Tensor:
    """The c with which ||d||_2^2 + 100 beta ||d||_1 + c * hinge has its least value beyond the
    boundary of the classifier's linearisation, or somewhat less: the sum of what either
    distance would need by itself.

    Args:
        ask: what answers for images.
        x0: the images, [N, H, W, C]. labels: int [N]. confidence: kappa, [N].
        targeted: whether to reach the labels.
        beta: weight of the L1 norm.

    Returns:
        For the margin and for each constraint the same, [N, 1 + J].
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x0)
        columns, _ = gaps(ask(x0), labels, confidence, targeted)
        gap = columns[:, 0]
    gradient = tape.gradient(gap, x0)
    square = tf.reduce_sum(gradient**2, axis=[1, 2, 3])
    steepest = tf.reduce_max(tf.abs(gradient), axis=[1, 2, 3])
    gap = tf.maximum(gap, 1e-3)
    const = 2 * gap / (square + 1e-12) + beta / LEARNING_RATE / (steepest + 1e-12)
    return tf.ones_like(columns) * const[:, None]
