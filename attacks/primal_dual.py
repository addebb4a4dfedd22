"""The primal-dual search of EAD: the published iteration, with c moved at each of its steps.

The published search bisects c and minimises anew for each. Its examples do not minimise the
objective: the iteration shrinks by beta whatever its step, so at a step of eta it goes toward
the least ||d||_2^2 + (beta / eta) ||d||_1 + c * hinge, with eta falling from 0.01 to 0, and the
example that is kept is one that it passes on the way. What such examples are like, and whom
else they fool, is a matter of the iteration. So it stays (`attacks.fista`), and c takes another
course: after each iteration log c falls where the example fools the classifier and rises where
it does not, by the sign alone, whatever the logits' scale, and by less and less; to ten times
its first value at most, because where the margin is far off c rises for as long as the example
is under way, and what a c that is far too large saturates, shrinkage does not bring back.

Step and shrinkage are longer than published at first where beta is small, both by the same
factor, so that what the iteration goes toward stays the same; never so long that a pixel is
moved by more than with the largest published beta, because what is moved farther is sparser,
and so of another kind. Where they are as published at first, they end shorter: the published
iteration has ten times as many to come to rest in.

Two runs begin with larger c than a linear classifier would need: their iterates cross the
boundary sooner and come back from farther beyond as c falls; they end in different places,
and the best example of each image is kept. The runs depend on nothing of each other, so that
TensorFlow computes both at a time.

- One is the published iteration, with the gradient at y_k. It finds the nearer examples where
  the margin is far off.
- The other has the hinge's gradient at x_k, where the classifier is asked anyway whether x_k
  fools it; its iterations spare a pass forward, and it has more of them. Elsewhere its examples
  are more of the published kind. How sparse these are depends on how long c holds against a
  shrinkage that counts for ever more, and in the published search that is a matter of the
  decade: it multiplies c by ten until an image is fooled, and bisects below. An image that
  c = 1 fools is never tried with more, and its iterates are given up soon; one that only 10
  fools has runs from there downward, which hold longer. So once there is an example, c does not
  rise above the power of ten at which the published search would have found it. And the step
  falls faster at the end, where the sparse examples come from, and of which there is little
  where iterations are few.

An image's result at one confidence depends on no other confidence.

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
FARTHEST = 10.0  # what c may rise to, in those that a run began with
SUFFICES = 2 / 3  # of a c that fools an image on its way, where c keeps still


class Run(NamedTuple):
    """How one of the runs goes on.

    Attributes:
        iterations: how many.
        start: the first c, in those of the linearised problem.
        stride: what the published step and shrinkage are multiplied by, from the first to the
            last iteration, geometric in between.
        dual_step: by how much log c moves, from the first to the last iteration, likewise.
        power: the step falls with this power of the part of the iterations that is left;
            published is 0.5.
    """

    iterations: int
    start: float
    stride: tuple[float, float]
    dual_step: tuple[float, float]
    power: float


def schedule(
    beta: float, bounds: tuple[float, float], gradients: int
) -> tuple[Run, Run]:
    """The run with gradients at y, and the one with the hinge's at x.

    Args:
        beta: weight of the L1 norm.
        bounds: least and largest value of a pixel.
        gradients: of an image; one is taken for the linearised problem.
    """
    low, high = bounds
    longest = LARGEST_BETA * (high - low) / beta if beta else np.inf

    def falling(most: float) -> tuple[float, float]:
        first = float(np.clip(longest, 1.0, most))
        return first, min(1.0, 0.65 * first)

    at_y = (gradients - 1) * 3 // 8  # whose iterations cost a pass more
    at_x = gradients - 1 - at_y
    return (
        Run(at_y, 12.0, stride=falling(3.2), dual_step=(0.2, 0.05), power=0.5),
        Run(at_x, 3.0, stride=falling(2.5), dual_step=(0.2, 0.1), power=0.75),
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
        at_y, at_x = schedule(self._beta, victim.bounds, self._gradients)
        minimize = victim.loop(inner_loop, beta=self._beta, at_y=at_y, at_x=at_x)
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
    at_y: Run,
    at_x: Run,
) -> Callable:
    """The runs, each from a c of its own; of each image the best example by each rule."""

    def paced(k, run):
        """The rate, threshold, momentum and factor of c in iteration k."""
        step = tf.cast(k, tf.float32)
        part = step / run.iterations
        stride = between(run.stride, part)
        rate = stride * LEARNING_RATE * (1 - part) ** run.power
        factor = tf.exp(between(run.dual_step, part))
        return rate, stride * beta, step / (step + 3), factor

    def with_gradients_at_y(goal, first):
        x0, labels, confidence = goal
        state, const = at_rest(x0, first), first
        for k in tf.range(at_y.iterations):
            rate, threshold, momentum, factor = paced(k, at_y)
            descent = rate * gradient_at(state.y, ask, goal, targeted, const)
            state = proceed(state, x0, descent, threshold, momentum, bounds)
            holds = met(ask(state.x), labels, confidence, targeted)
            state = looked_at(state, x0, holds, const, beta)
            const = moved(const, holds, factor, FARTHEST * first)
        return state.best

    def with_gradients_at_x(goal, first):
        x0, labels, confidence = goal
        state, const = at_rest(x0, first), first
        for k in tf.range(at_x.iterations):
            rate, threshold, momentum, factor = paced(k, at_x)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(state.x)
                answer = ask(state.x)
                holds = met(answer, labels, confidence, targeted)
                state = looked_at(state, x0, holds, const, beta)
                most = tf.minimum(FARTHEST * first, decade(state.best["EN"], bounds))
                const = moved(const, holds, factor, most)
                excess = losses(answer, labels, confidence, targeted)
                loss = tf.reduce_sum(const * excess, axis=1)
            descent = rate * (tape.gradient(loss, state.x) + 2 * (state.y - x0))
            state = proceed(state, x0, descent, threshold, momentum, bounds)
        return state.best

    def minimize(x0, labels, confidence):
        const = linear_const(ask, x0, labels, confidence, targeted, beta)
        goal = Goal(x0, labels, confidence)
        one = with_gradients_at_y(goal, at_y.start * const)
        other = with_gradients_at_x(goal, at_x.start * const)
        return {rule: keep(one[rule], other[rule]) for rule in one}

    return minimize


def moved(
    const: tf.Tensor, holds: tf.Tensor, factor: tf.Tensor, most: tf.Tensor
) -> tf.Tensor:
    """c divided by the factor where it did its work, else times it; at most `most`."""
    return tf.minimum(const * tf.where(holds, 1 / factor, factor), most)


def decade(best: tuple, bounds: tuple[float, float]) -> tf.Tensor:
    """The power of ten at which the published search would have found an example, [N, 1 + J].

    There it would have multiplied c by ten no more (`attacks.exact.next_const`). Infinite
    where there is no example yet, and where there are constraints, each of which has a c of
    its own that may be small where it is not in the way.

    Args:
        best: of the run so far, by the rule EN: distance [N], example, its c [N, 1 + J].
        bounds: least and largest value of a pixel; in a box of another size than 1 the
            distances, and so c, are other multiples.
    """
    distance, _, const = best
    low, high = bounds
    unit = (high - low) ** 2
    power = tf.math.ceil(tf.math.log(SUFFICES / unit * const) / np.log(10.0))
    found = tf.math.is_finite(distance)[:, None] & (const.shape[1] == 1)
    return tf.where(found, unit * 10.0**power, float("inf"))


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
