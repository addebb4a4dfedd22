"""Primal and dual steps on the Lagrangian of a distance under a margin; see `minimum_norm`."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from attacks.objective import Answer, bettered, gaps, met, per_image
from attacks.result import AttackResult, measured
from attacks.victim import Victim

MOMENTUM = 0.5  # of the gradients' running mean
STRONGEST = 1.5  # pull of the constraints, in that of the distance
AT_FIRST = 0.1  # multiplier of a constraint, in that of the margin
FINE = 0.007  # last dual step beside constraints, where there is an example
LONGEST = 2.0  # careful primal step that a gradient may take, in the L2 norm


@dataclasses.dataclass(frozen=True)
class Rule:
    """A distance to minimise, weight_l2 * ||d||_2^2 + weight_l1 * ||d||_1, and how.

    Attributes:
        name: in the results.
        weight_l2: of the squared L2 norm.
        weight_l1: of the L1 norm.
        iterations: of a phase that minimises it.
        primal_step: size of the first and the last step; geometric in between.
        dual_step: by how much log c moves in the first and the last iteration; likewise.
    """

    name: str
    weight_l2: float
    weight_l1: float
    iterations: int
    primal_step: tuple[float, float]
    dual_step: tuple[float, float]

    def brought_to_unit_box(self, width: float) -> "Rule":
        """The same rule for d / width, up to a factor."""
        if not self.weight_l2:
            return self
        return dataclasses.replace(self, weight_l1=self.weight_l1 / width)


class State(NamedTuple):
    """Where a minimisation is.

    Attributes:
        x: [N, H, W, C] in [0, 1].
        mean: of the constraint's gradients, [N, H, W, C].
        multipliers: c of the margin and of each constraint, [N, 1 + J]; 0 at the beginning.
    """

    x: tf.Tensor
    mean: tf.Tensor
    multipliers: tf.Tensor


def at_rest(x: tf.Tensor, multipliers: tf.Tensor) -> State:
    """A minimisation that begins at x, with multipliers of which 0 are to be chosen."""
    return State(x, tf.zeros_like(x), multipliers)


class Goal(NamedTuple):
    """What a phase aims at, image by image.

    Attributes:
        x0: the images, [N, H, W, C] in [0, 1].
        labels: int [N].
        confidence: [N].
        excluded: bool [N, K], classes that are not aimed at.
        unit: [N, 1], the margin's gap at the images, above 0.
        longest: [N], what a gradient may move an image by under a rule with an L2 term.
    """

    x0: tf.Tensor
    labels: tf.Tensor
    confidence: tf.Tensor
    excluded: tf.Tensor
    unit: tf.Tensor
    longest: tf.Tensor


def inner_loop(
    ask: Callable[[tf.Tensor], Answer],
    targeted: bool,
    bounds: tuple[float, float],
    rule: Rule,
    rules: Sequence[Rule],
) -> Callable:
    """Iterations toward one rule, scored by all rules.

    Images are in [0, 1] here; `bounds` is what the classifier takes.
    """
    low, high = bounds
    rule = rule.brought_to_unit_box(high - low)
    rules = [r.brought_to_unit_box(high - low) for r in rules]

    def phase(goal: Goal, state: State, best: dict, first, last):
        """Iterations `first` to `last`.

        Args:
            goal: what is asked for.
            state: where to go on from.
            best: {rule: (score, example, multiplier)}, the best so far.
            first: of the rule's iterations.
            last: the one after the last.

        Returns:
            The state and the best by then, and the class that was aimed at, [N].
        """
        x0, labels, confidence, excluded, unit, longest = goal
        (x, mean, multipliers), rival = state, labels
        log_c = tf.math.log(multipliers)
        for k in tf.range(first, last):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(x)
                answer = ask(low + (high - low) * x)
                gap, rival = gaps(answer, labels, confidence, targeted, excluded)
                shares = tf.stop_gradient(shared(log_c, gap, unit, k == 0))
                together = tf.reduce_sum(shares * gap, axis=1)
            gradient = tape.gradient(together, x)
            found = tf.reduce_all(met(answer, labels, confidence, targeted), axis=1)
            far = distances(rules, x0, x)
            best = bettered(best, far, found, x, exp(log_c)[:, 0])

            part = tf.cast(k, tf.float32) / rule.iterations
            primal = between(rule.primal_step, part)
            dual = dual_step(rule, part, gap, best[rule.name][0])
            log_c = tf.where(
                k == 0,
                tf.math.log(initial_multipliers(rule, multipliers, gap, gradient)),
                ascended(log_c, gap, dual),
            )
            mean = MOMENTUM * mean + (1 - MOMENTUM) * gradient
            pull = primal * per_image(tf.reduce_sum(exp(log_c), axis=1)) * mean
            if gap.shape[1] > 1:
                held = held_back(rule, primal, x0, x, pull)
                log_c += tf.math.log(held)[:, None]
                pull *= per_image(held)
            if rule.weight_l2:
                length = tf.sqrt(tf.reduce_sum(pull**2, [1, 2, 3]))
                pull *= per_image(tf.minimum(1.0, longest / (length + 1e-12)))
            x = proximal_step(rule, primal, x0, x, pull)
        return State(x, mean, exp(log_c)), best, rival

    return phase


def shared(
    log_c: tf.Tensor, gap: tf.Tensor, unit: tf.Tensor, begins: tf.Tensor
) -> tf.Tensor:
    """What of the multipliers' sum goes to each gap, [N, 1 + J]; all to the margin at first.

    Beside constraints each multiplier c counts as c * (1 + gap) within [0, 2c], gaps being
    measured in units: the damping term of an augmented Lagrangian, without which several
    multipliers keep swinging, one after the other.
    """
    margin_alone = tf.one_hot(tf.zeros_like(gap[:, 0], tf.int32), gap.shape[1])
    shares = tf.nn.softmax(log_c)
    if gap.shape[1] > 1:
        measured = tf.concat([gap[:, :1] / unit, gap[:, 1:]], axis=1)
        shares *= tf.clip_by_value(1 + measured, 0.0, 2.0)
    return tf.where(begins, margin_alone, shares)


def dual_step(rule: Rule, part: tf.Tensor, gap: tf.Tensor, score: tf.Tensor):
    """By how much log c moves, the same for all images or [N, 1].

    Beside constraints, whose gaps swing more widely, the last steps are finer once there is
    an example; before that, it is the swings that find one. Not by L1, where that did not
    help.

    Args:
        rule: that is minimised.
        part: of its iterations that is over.
        gap: [N, 1 + J].
        score: [N], of the best example; infinite where there is none.
    """
    step = between(rule.dual_step, part)
    if gap.shape[1] == 1 or not rule.weight_l2:
        return step
    fine = between((rule.dual_step[0], FINE), part)
    return tf.where(tf.math.is_finite(score), fine, step)[:, None]


def ascended(log_c: tf.Tensor, gap: tf.Tensor, dual: tf.Tensor) -> tf.Tensor:
    """The dual step; beside constraints it is half as long downward.

    Where several gaps swing about 0, all of them are seldom met at once.
    """
    down = dual / 2 if gap.shape[1] > 1 else dual
    return log_c + tf.where(gap < 0, -down, dual)


def held_back(
    rule: Rule, primal: tf.Tensor, x0: tf.Tensor, x: tf.Tensor, pull: tf.Tensor
) -> tf.Tensor:
    """The factor that leaves the constraints no more than `STRONGEST` times the distance's pull.

    In the solution the two pulls are equal, on the pixels that the box does not hold. Where a
    multiplier is too large, steps miss the set where its constraint holds, and it would grow
    without end.
    """
    d = x - x0
    own = 2 * rule.weight_l2 * d + rule.weight_l1 * tf.sign(d)
    least = 2 * rule.weight_l2 + 4 * rule.weight_l1  # of d of norm 1, over 16 pixels
    its_length = tf.maximum(tf.sqrt(tf.reduce_sum(own**2, [1, 2, 3])), least)
    moved = tf.clip_by_value(x - pull, 0.0, 1.0) - x
    length = tf.sqrt(tf.reduce_sum(moved**2, [1, 2, 3]))
    return tf.minimum(1.0, STRONGEST * primal * its_length / (length + 1e-12))


def distances(
    rules: Sequence[Rule], x0: tf.Tensor, x: tf.Tensor
) -> dict[str, tf.Tensor]:
    """How far x is from x0 by each rule, {name: [N]}."""
    squared = tf.reduce_sum((x - x0) ** 2, [1, 2, 3])
    absolute = tf.reduce_sum(tf.abs(x - x0), [1, 2, 3])
    return {r.name: r.weight_l2 * squared + r.weight_l1 * absolute for r in rules}


def proximal_step(
    rule: Rule, primal: tf.Tensor, x0: tf.Tensor, x: tf.Tensor, pull: tf.Tensor
) -> tf.Tensor:
    """One of proximal gradient descent: the distance's gradient, the pull, the L1 term, the box."""
    d = x - x0
    z = d - primal * 2 * rule.weight_l2 * d - pull
    # Soft thresholding of d; EAD's `shrink` is of x, which rounds otherwise.
    z = tf.sign(z) * tf.nn.relu(tf.abs(z) - primal * rule.weight_l1)
    return tf.clip_by_value(x0 + z, 0.0, 1.0)


def exp(values: tf.Tensor) -> tf.Tensor:
    """exp, [N, J] -> [N, J], an image's bits the same wherever it stands in the batch.

    On a CPU the last values of a vector, which fill no register of 16, are computed by
    another formula than the rest, so the vector is filled up.
    """
    flat = tf.reshape(values, [-1])
    count = flat.shape[0]
    return tf.reshape(tf.exp(tf.pad(flat, [[0, -count % 16]]))[:count], values.shape)


def between(ends: tuple[float, float], part: tf.Tensor) -> tf.Tensor:
    """Geometrically from the first to the last of two sizes."""
    return ends[0] * (ends[1] / ends[0]) ** part


def initial_multipliers(
    rule: Rule, multipliers: tf.Tensor, gap: tf.Tensor, gradient: tf.Tensor
) -> tf.Tensor:
    """That of the linearised problem; for L1, twice that.

    At a warm start, as much of it is added to the multiplier as the gap asks for.
    """
    first = gap[:, :1]
    if rule.weight_l2:
        square = tf.reduce_sum(gradient**2, [1, 2, 3])[:, None]
        missing = 2 * rule.weight_l2 * tf.maximum(first, 1e-3) / (square + 1e-12)
        of_margin = multipliers[:, :1] + missing + 1e-12
    else:
        steepest = tf.reduce_max(tf.abs(gradient), [1, 2, 3])[:, None]
        linear = 2 * rule.weight_l1 / (steepest + 1e-12) + 1e-12
        of_margin = tf.where(multipliers[:, :1] > 0, multipliers[:, :1], linear)
    others = tf.where(multipliers[:, 1:] > 0, multipliers[:, 1:], AT_FIRST * of_margin)
    return tf.concat([of_margin, others], axis=1)


class Problem:
    """The images of one chunk in [0, 1], what is asked of them, and the compiled phases.

    Args:
        victim: the classifier.
        rules: that the examples are scored by, the first being the smoothest.
        pace: what the rules' iterations are multiplied by.
        images: float32 [N, H, W, C] within the victim's bounds.
        labels: int [N].
        after_phase: called after each phase, in a sweep after each confidence.
    """

    def __init__(
        self,
        victim: Victim,
        rules: Sequence[Rule],
        pace: float,
        images: np.ndarray,
        labels: np.ndarray,
        after_phase: Callable[[], object],
    ):
        low, high = victim.bounds
        self._victim, self._pace, self._scored_by = victim, pace, tuple(rules)
        self.rules = [self.paced(rule) for rule in rules]
        self.images, self.after_phase = images, after_phase
        self.x0 = tf.constant((images - low) / (high - low))
        self.labels, self.clean = tf.constant(labels), victim.ask(images)
        self.num_classes = self.clean.logits.shape[-1]
        self.targeted = victim.targeted
        # Large steps toward a target lead far from the image, where gradients say little.
        far = LONGEST if victim.targeted else float("inf")
        self.longest = tf.fill([len(images)], far)

    def paced(self, rule: Rule) -> Rule:
        """A rule with the iterations that the budget allows."""
        return dataclasses.replace(rule, iterations=self.scaled(rule.iterations))

    def scaled(self, iterations: int) -> int:
        """As many iterations as the budget allows in place of these, at least one."""
        return max(1, int(iterations * self._pace + 1e-9))

    def nothing(self) -> dict:
        """The best by each rule before anything was tried."""
        inf = tf.fill([len(self.images)], float("inf"))
        return {rule.name: (inf, self.x0, tf.ones_like(inf)) for rule in self.rules}

    def no_multipliers(self) -> tf.Tensor:
        """Those of a minimisation that begins, [N, 1 + J]."""
        return tf.zeros([len(self.images), 1 + self.clean.constraints.shape[1]])

    def any_class(self) -> tf.Tensor:
        """No class excluded, bool [N, K]."""
        return tf.zeros([len(self.images), self.num_classes], tf.bool)

    def run(
        self,
        rule: Rule,
        goal: Goal,
        state: State,
        best: dict,
        first: int = 0,
        last: int | None = None,
    ) -> tuple[State, dict, tf.Tensor]:
        """A phase, or some of its iterations; see `inner_loop`."""
        phase = self._victim.loop(inner_loop, rule=rule, rules=self._scored_by)
        span = (tf.constant(k) for k in (first, last or rule.iterations))
        return phase(goal, state, best, *span)

    def goal(
        self, confidence: float, excluded: tf.Tensor, longest: tf.Tensor | None = None
    ) -> Goal:
        """What a phase aims at, with the problem's own longest step by default."""
        kappa = tf.fill([len(self.images)], float(confidence))
        longest = self.longest if longest is None else longest
        unit = self.gap(confidence, excluded)
        return Goal(self.x0, self.labels, kappa, excluded, unit, longest)

    def gap(self, confidence: float, excluded: tf.Tensor) -> tf.Tensor:
        """By how much the images' own margin is to change, [N, 1], above 0."""
        kappa = tf.fill([len(self.images)], float(confidence))
        clean, _ = gaps(self.clean, self.labels, kappa, self.targeted, excluded)
        return tf.maximum(clean[:, :1], 1e-3)

    def exclude(self, excluded: tf.Tensor, reached: tf.Tensor) -> tf.Tensor:
        """Excludes the class that was reached, where one is left to aim at then."""
        more = excluded | self._is(reached)
        count = tf.reduce_sum(tf.cast(more, tf.int32), axis=1, keepdims=True)
        return tf.where(count < self.num_classes - 1, more, excluded)

    def all_but(self, reached: tf.Tensor) -> tf.Tensor:
        """Excludes every class but one."""
        return ~self._is(reached)

    def _is(self, label: tf.Tensor) -> tf.Tensor:
        return tf.one_hot(label, self.num_classes, on_value=True, off_value=False)

    def results(self, best: dict) -> dict[str, AttackResult]:
        """What was found, as the attacks return it."""
        low, high = self._victim.bounds
        return {
            name: measured(
                self.images,
                np.clip(low + (high - low) * example.numpy(), low, high),
                np.isfinite(score),
                multiplier.numpy().astype(np.float64),
            )
            for name, (score, example, multiplier) in best.items()
        }
