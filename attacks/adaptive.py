"""An adaptive search: c is a multiplier that moves at every iteration.

The published search runs the whole minimisation anew for each c. Here c falls by a factor
after an iterate that fools the classifier and rises by it after one that does not, so that
the iterates stay at the decision boundary while the distance shrinks: the same problem,
minimise a distance subject to a margin, by a proximal gradient method with a multiplier
update. 450 gradients an image then do what 9 steps of 1,000 iterations do; a sweep over
confidences takes about 170 for each.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from attacks.objective import is_adversarial, margin, per_image
from attacks.result import AttackResult, measured

MOMENTUM = 0.5  # of the gradients' running mean
PASSES = 3
LONGEST = 2.0  # careful step that a gradient may take, in the L2 norm


@dataclasses.dataclass(frozen=True)
class Rule:
    """A distance to minimise, l2 * ||d||_2^2 + l1 * ||d||_1, and how.

    Attributes:
        name: in the results.
        l2, l1: weights of the distance.
        iterations: of a phase that minimises it.
        step: size of the first and the last step; geometric in between.
        drift: by how much log c moves in the first and the last iteration; likewise.
    """

    name: str
    l2: float
    l1: float
    iterations: int
    step: tuple[float, float]
    drift: tuple[float, float]

    def brought_to_unit_box(self, width: float) -> "Rule":
        """The same rule for d / width, up to a factor."""
        return dataclasses.replace(self, l1=self.l1 / width) if self.l2 else self


# Steps and drifts are for images in [0, 1], to which every box is brought.
L2 = Rule("L2", 1.0, 0.0, 100, step=(0.3, 0.01), drift=(0.3, 0.02))
L1 = Rule("L1", 0.0, 1.0, 100, step=(0.3, 0.003), drift=(0.15, 0.02))


def elastic_net(beta: float) -> Rule:
    """The rule ||d||_2^2 + beta * ||d||_1."""
    return dataclasses.replace(L2, name="EN", l1=beta, iterations=50)


def inner_loop(
    classifier: Callable,
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

    def phase(x0, labels, confidence, excluded, state, best, first, last, longest):
        """Iterations `first` to `last`, aiming at no class that `excluded` names.

        Args:
            x0: [N, H, W, C]. labels: int [N]. confidence: [N]. excluded: bool [N, K].
            state: the `State` to go on from.
            best: {rule: (score, example, const)}, the best so far.
            first, last: of the rule's iterations.
            longest: [N], what a gradient may move an image by under a rule with an L2 term.

        Returns:
            The state and the best by then, and the class that was aimed at, [N].
        """
        (x, mean, const), rival = state, labels
        log_c = tf.math.log(const)
        for k in tf.range(first, last):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(x)
                logits = classifier(low + (high - low) * x)
                gap, rival = margin(logits, labels, targeted, excluded)
                gap += confidence
            gradient = tape.gradient(gap, x)
            d = x - x0
            l2, l1 = tf.reduce_sum(d**2, [1, 2, 3]), tf.reduce_sum(tf.abs(d), [1, 2, 3])

            fooled = is_adversarial(logits, labels, confidence, targeted)
            scored = {}
            for r in rules:
                score, example, its_const = best[r.name]
                distance = r.l2 * l2 + r.l1 * l1
                better = fooled & (distance < score)
                scored[r.name] = (
                    tf.where(better, distance, score),
                    tf.where(per_image(better), x, example),
                    tf.where(better, tf.exp(log_c), its_const),
                )
            best = scored

            part = tf.cast(k, tf.float32) / rule.iterations
            step = rule.step[0] * (rule.step[1] / rule.step[0]) ** part
            drift = rule.drift[0] * (rule.drift[1] / rule.drift[0]) ** part
            log_c = tf.where(
                k == 0,
                tf.math.log(first_const(rule, const, gap, gradient)),
                log_c + tf.where(gap < 0, -drift, drift),
            )
            mean = MOMENTUM * mean + (1 - MOMENTUM) * gradient
            pull = step * per_image(tf.exp(log_c)) * mean
            if rule.l2:
                length = tf.sqrt(tf.reduce_sum(pull**2, [1, 2, 3]))
                pull *= per_image(tf.minimum(1.0, longest / (length + 1e-12)))
            z = d - step * 2 * rule.l2 * d - pull
            z = tf.sign(z) * tf.nn.relu(tf.abs(z) - step * rule.l1)
            x = tf.clip_by_value(x0 + z, 0.0, 1.0)
        return State(x, mean, tf.exp(log_c)), best, rival

    return phase


class State(NamedTuple):
    """Where a minimisation is.

    Attributes:
        x: [N, H, W, C] in [0, 1].
        mean: of the gradients, [N, H, W, C].
        const: c, [N]; 0 at the beginning.
    """

    x: tf.Tensor
    mean: tf.Tensor
    const: tf.Tensor


def at_rest(x: tf.Tensor) -> State:
    """A minimisation that begins at x."""
    return State(x, tf.zeros_like(x), tf.zeros(tf.shape(x)[:1]))


def first_const(
    rule: Rule, const: tf.Tensor, gap: tf.Tensor, gradient: tf.Tensor
) -> tf.Tensor:
    """c to begin with: the multiplier of the linearised problem; for L1, twice that.

    Where there is a c from before, as much of that multiplier is added as the gap asks for.
    """
    if rule.l2:
        square = tf.reduce_sum(gradient**2, [1, 2, 3])
        missing = 2 * rule.l2 * tf.maximum(gap, 1e-3) / (square + 1e-12)
        return const + missing + 1e-12
    steepest = tf.reduce_max(tf.abs(gradient), [1, 2, 3])
    return tf.where(const > 0, const, 2 * rule.l1 / (steepest + 1e-12) + 1e-12)


class Problem:
    """The images of one chunk in [0, 1], what is asked of them, and the compiled phases.

    Args:
        phase: from a rule to its compiled `inner_loop`.
        rules: that the examples are scored by, the first being the smoothest.
        images: float32 [N, H, W, C] within `bounds`. labels: int [N].
        clean_logits: of the images, [N, K]. targeted, bounds: as in the attacks.
        after_phase: called after each phase, in a sweep after each confidence.
    """

    def __init__(
        self,
        phase: Callable[[Rule], Callable],
        rules: Sequence[Rule],
        images: np.ndarray,
        labels: np.ndarray,
        clean_logits: tf.Tensor,
        targeted: bool,
        bounds: tuple[float, float],
        after_phase: Callable[[], object],
    ):
        low, high = bounds
        self.phase, self.rules, self.images, self.bounds = phase, rules, images, bounds
        self.x0 = tf.constant((images - low) / (high - low))
        self.labels, self.clean_logits = tf.constant(labels), clean_logits
        self.num_classes = clean_logits.shape[1]
        # Large steps toward a target lead far from the image, where gradients say little.
        self.longest = tf.fill([len(images)], LONGEST if targeted else float("inf"))
        self.targeted, self.after_phase = targeted, after_phase

    def nothing(self) -> dict:
        """The best by each rule before anything was tried."""
        inf = tf.fill([len(self.images)], float("inf"))
        return {rule.name: (inf, self.x0, tf.ones_like(inf)) for rule in self.rules}

    def any_class(self) -> tf.Tensor:
        """No class excluded, bool [N, K]."""
        return tf.zeros([len(self.images), self.num_classes], tf.bool)

    def run(
        self,
        rule: Rule,
        confidence: float,
        excluded: tf.Tensor,
        state: State,
        best: dict,
        first: int = 0,
        last: int | None = None,
        longest: tf.Tensor | None = None,
    ) -> tuple[State, dict, tf.Tensor]:
        """A phase, or some of its iterations; see `inner_loop`."""
        kappa = tf.fill([len(self.images)], float(confidence))
        if longest is None:
            longest = self.longest
        span = (tf.constant(k) for k in (first, last or rule.iterations))
        return self.phase(rule)(
            self.x0,
            self.labels,
            kappa,
            excluded,
            state,
            best,
            *span,
            tf.constant(longest),
        )

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
        low, high = self.bounds
        return {
            name: measured(
                self.images,
                np.clip(low + (high - low) * example.numpy(), low, high),
                np.isfinite(score),
                const.numpy().astype(np.float64),
            )
            for name, (score, example, const) in best.items()
        }


def search(problem: Problem, confidence: float) -> dict[str, AttackResult]:
    """The best example of each image by each rule, over all passes.

    A pass is a phase for each rule, one going on from the other. Untargeted, the next pass
    starts from the image again and aims at another class than those that passes ended at,
    because the nearest boundary is not always the one that is met first. Targeted, it goes
    on from the last one's end, with each rule's own c and shorter steps; where nothing was
    found, it starts again.
    """
    best, excluded = problem.nothing(), problem.any_class()
    x, longest = problem.x0, problem.longest
    consts = [at_rest(x).const] * len(problem.rules)
    for _ in range(PASSES):
        for index, rule in enumerate(problem.rules):
            start = at_rest(x)._replace(const=consts[index])
            state, best, rival = problem.run(
                rule, confidence, excluded, start, best, longest=longest
            )
            x = state.x
            if problem.targeted:
                consts[index] = state.const
            problem.after_phase()
        found = tf.reduce_any([tf.math.is_finite(b[0]) for b in best.values()], 0)
        careful = tf.minimum(longest / 2, LONGEST)
        if problem.targeted:
            longest = careful
            x = tf.where(per_image(found), x, problem.x0)
            consts = [tf.where(found, const, 0.0) for const in consts]
        else:
            longest = tf.where(found, longest, careful)
            x, excluded = problem.x0, problem.exclude(excluded, rival)
    return problem.results(best)
