"""The primal-dual search: c is a Lagrange multiplier that moves at every iteration.

Both attacks look for the least distance under a constraint,

    minimise w2 ||d||_2^2 + w1 ||d||_1   subject to   margin(x + d) + confidence <= 0,

whose Lagrangian weighs the constraint by a multiplier, c. The published search bisects c and
minimises anew for each. Here both move together:

- primal step: of proximal gradient descent on the Lagrangian, with momentum on the
  constraint's gradient: a gradient step on what is smooth, soft thresholding by the L1
  weight, projection onto the box;
- dual step: log c rises by a step where the constraint is violated and falls by it where it
  is met, the sign alone of dual ascent, so that a step does not depend on the logits' scale.

Both steps shrink geometrically, the iterates settle at the boundary, and the best of those
that fool the classifier is kept. Of this kind are PDPGD (Matyasko & Chau 2021, arXiv
2106.01538: primal-dual proximal gradient descent with its multiplier ascended in the log
domain by the loss) and FMN (Pintor et al. 2021, arXiv 2102.12827: a norm that shrinks or
grows by a factor by the sign of the constraint). New here are: the multiplier of the linearised
problem as the initial one, warm starts from one distance to the next, passes that exclude the
classes already reached, and sweeps over confidences (`attacks.sweep`). By default
450 gradients an image (EAD; 300 for C&W) do what 9 steps of 1,000 iterations do. How far
the result depends on each number that was set by trial is in docs/primal_dual.md.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from attacks import sweep
from attacks.checks import InputError, check_settings
from attacks.lagrangian import LONGEST, Problem, Rule, at_rest
from attacks.objective import per_image
from attacks.result import AttackResult
from attacks.victim import Victim

PASSES = 3  # over the rules; untargeted, each aims at another class

# Steps are for images in [0, 1], to which every box is brought.
L2 = Rule("L2", 1.0, 0.0, 100, primal_step=(0.3, 0.01), dual_step=(0.3, 0.02))
L1 = Rule("L1", 0.0, 1.0, 100, primal_step=(0.3, 0.003), dual_step=(0.15, 0.02))


def elastic_net(beta: float) -> Rule:
    """The rule ||d||_2^2 + beta * ||d||_1."""
    return dataclasses.replace(L2, name="EN", weight_l1=beta, iterations=50)


class PrimalDualSearch:
    """The best example of each image by each rule, over three passes; or a sweep.

    Args:
        rules: that the examples are scored by, the first being the smoothest.
        gradients: that a call with one confidence takes for an image, at most; the phases'
            iterations are scaled to it, also in a sweep. None: as they were tuned, 100 an
            image and phase, 50 for EN.

    Raises:
        InputError, InputTypeError: `gradients` is no whole number, or has less than one for
            each phase.
    """

    def __init__(self, rules: Sequence[Rule], gradients: int | None = None):
        self.rules = tuple(rules)
        self.pace = 1.0
        if gradients is not None:
            check_settings(gradients=gradients)
            phases = PASSES * len(self.rules)
            if gradients < phases:
                raise InputError(
                    f"gradients must be at least {phases}, one for each phase, "
                    f"got {gradients}."
                )
            self.pace = gradients / (PASSES * sum(r.iterations for r in self.rules))

    def steps(self, confidences: Sequence[float]) -> int:
        """How often `solve` calls `after_step`."""
        several = len(set(confidences))
        return several if len(confidences) > 1 else PASSES * len(self.rules)

    def solve(
        self,
        victim: Victim,
        images: np.ndarray,
        labels: np.ndarray,
        confidences: Sequence[float],
        after_step: Callable[[], object],
    ) -> list[dict[str, AttackResult]]:
        """For each confidence the best examples of a chunk by each rule."""
        problem = Problem(victim, self.rules, self.pace, images, labels, after_step)
        if len(confidences) > 1:
            return sweep.search(problem, confidences)
        return [search(problem, confidences[0])]


def search(problem: Problem, confidence: float) -> dict[str, AttackResult]:
    """The best example of each image by each rule, over all passes.

    A pass is a phase for each rule, one going on from the other. Untargeted, the next pass
    starts from the image again and aims at another class than those that passes ended at,
    because the nearest boundary is not always the one that is met first. Targeted, it is a
    warm start from the last one's end, with each rule's own multiplier and shorter steps;
    where nothing was found, it starts again.
    """
    best, excluded = problem.nothing(), problem.any_class()
    x, longest = problem.x0, problem.longest
    multipliers = [at_rest(x).multiplier] * len(problem.rules)
    for _ in range(PASSES):
        for index, rule in enumerate(problem.rules):
            start = at_rest(x)._replace(multiplier=multipliers[index])
            goal = problem.goal(confidence, excluded, longest)
            state, best, rival = problem.run(rule, goal, start, best)
            x = state.x
            if problem.targeted:
                multipliers[index] = state.multiplier
            problem.after_phase()
        found = tf.reduce_any([tf.math.is_finite(b[0]) for b in best.values()], 0)
        careful = tf.minimum(longest / 2, LONGEST)
        if problem.targeted:
            longest = careful
            x = tf.where(per_image(found), x, problem.x0)
            multipliers = [tf.where(found, c, 0.0) for c in multipliers]
        else:
            longest = tf.where(found, longest, careful)
            x, excluded = problem.x0, problem.exclude(excluded, rival)
    return problem.results(best)
