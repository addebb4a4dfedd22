"""Minimum-norm attacks: the least L1, L2 or elastic-net distance, by a primal-dual search.

    minimise w2 ||d||_2^2 + w1 ||d||_1   subject to   margin(x + d) + confidence <= 0.

Its Lagrangian weighs the constraint by a multiplier, c. C&W and EAD bisect c and minimise anew
for each. Here both move together:

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
classes already reached, and sweeps over confidences (`attacks.sweep`). How far the result
depends on each number that was set by trial is in docs/primal_dual.md.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from attacks import sweep
from attacks.checks import InputError, check_choice, check_settings
from attacks.lagrangian import LONGEST, Problem, Rule, at_rest
from attacks.objective import per_image
from attacks.result import AttackResult
from attacks.search import attack
from attacks.victim import Victim

PASSES = 3  # over the rules; untargeted, each aims at another class

# Steps are for images in [0, 1], to which every box is brought.
L2 = Rule("L2", 1.0, 0.0, 100, primal_step=(0.3, 0.01), dual_step=(0.3, 0.02))
L1 = Rule("L1", 0.0, 1.0, 100, primal_step=(0.3, 0.003), dual_step=(0.15, 0.02))


def elastic_net(beta: float) -> Rule:
    """The rule ||d||_2^2 + beta * ||d||_1."""
    return dataclasses.replace(L2, name="EN", weight_l1=beta)


def smooth_start(width: float) -> Rule:
    """The rule that L1's minimisation begins with, the same in a box of any width."""
    return dataclasses.replace(elastic_net(1e-2 * width), iterations=50)


def minimum_norm(
    classifier: Callable,
    x,
    labels,
    *,
    norm: str = "L2",
    beta: float | None = None,
    confidence: float | Sequence[float] = 0.0,
    targeted: bool = False,
    bounds: tuple[float, float] = (0.0, 1.0),
    batch_size: int = 64,
    gradients: int | None = None,
    constraints: Callable | None = None,
    jit_compile: bool | None = None,
    progress: bool = False,
) -> AttackResult | list[AttackResult]:
    """Finds, for each image, the adversarial example of least distance by one norm.

    minimise the distance over x' within the bounds, subject to
    Z_label(x') - max_other Z(x') + confidence <= 0, by a primal-dual search.

    Args:
        classifier: from images [N, H, W, C] to logits [N, K]; TensorFlow must be able to
            differentiate it. A Keras model is one. From several classifiers [N, M, K], all
            of which are to be fooled.
        x: float images [N, H, W, C] within `bounds`.
        labels: integers [N]: the true classes, or the targets where `targeted`.
        norm: "L2", "L1", or "EN" for the elastic net, ||d||_2^2 + beta ||d||_1.
        beta: weight of the L1 norm in "EN", to which alone it belongs; None: 0.01.
        confidence: the margin by which the label must lose (or the target win); or several,
            which, without constraints, take far less together than one after the other.
        targeted: whether to reach `labels` instead of leaving them.
        bounds: least and largest value of a pixel.
        batch_size: as in `carlini_wagner_l2`.
        gradients: at most as many for an image where there is one confidence; a sweep
            scales likewise. None: as tuned, 300, and 450 for L1.
        constraints: what an example must satisfy besides, such as passing a detector: from
            images to [N, J], at most 0 where satisfied, differentiable; None for nothing.
        jit_compile: whether XLA compiles the loop; None: where there is a GPU.
        progress: whether to show a bar, where somebody watches.

    Returns:
        An `AttackResult`; a failed image comes back unchanged with `success` False.
        With several confidences a list of these, in their order.

    Raises:
        InputError, InputTypeError: the images, the labels, a setting or the output of the
            classifier or the constraints are not as described; these are a ValueError and a
            TypeError.
    """
    check_choice("norm", norm, ("L1", "L2", "EN"))
    if norm != "EN" and beta is not None:
        raise InputError(
            f"beta must be left out with norm={norm!r}, because it is the weight of the "
            f"L1 norm in norm='EN', got {beta!r}."
        )
    beta = 1e-2 if beta is None else beta
    check_settings(beta=beta)
    victim = Victim(classifier, targeted, bounds, jit_compile, constraints)
    low, high = victim.bounds
    rules = {
        "L2": (L2,),
        "EN": (elastic_net(beta),),
        "L1": (smooth_start(high - low), L1),
    }
    search = MinimumNormSearch(rules[norm], gradients, sweeps=constraints is None)
    found = attack(search, victim, x, labels, confidence, batch_size, progress)
    results = [result[norm] for result in found]
    return results if np.ndim(confidence) else results[0]


class MinimumNormSearch:
    """The best example of each image by each rule, over three passes; or a sweep.

    Args:
        rules: that the examples are scored by, the first being the smoothest.
        gradients: that a call with one confidence takes for an image, at most; the phases'
            iterations are scaled to it, also in a sweep. None: as they were tuned.
        sweeps: whether several confidences begin where their neighbours ended. Under
            constraints such starts are poor: of MNIST's images against D+JSD, a sweep over
            0, 10, 20 finds 66 % at 20, the search by itself 100 %, and nearer.

    Raises:
        InputError, InputTypeError: `gradients` is no whole number, or has less than one for
            each phase.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        gradients: int | None = None,
        sweeps: bool = True,
    ):
        self.rules, self._sweeps = tuple(rules), sweeps
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
        if self._sweeps and len(confidences) > 1:
            return len(set(confidences))
        return PASSES * len(self.rules) * len(confidences)

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
        if self._sweeps and len(confidences) > 1:
            return sweep.search(problem, confidences)
        return [search(problem, confidence) for confidence in confidences]


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
    multipliers = [problem.no_multipliers()] * len(problem.rules)
    for _ in range(PASSES):
        for index, rule in enumerate(problem.rules):
            start = at_rest(x, multipliers[index])
            goal = problem.goal(confidence, excluded, longest)
            state, best, rival = problem.run(rule, goal, start, best)
            x = state.x
            if problem.targeted:
                multipliers[index] = state.multipliers
            problem.after_phase()
        found = tf.reduce_any([tf.math.is_finite(b[0]) for b in best.values()], 0)
        careful = tf.minimum(longest / 2, LONGEST)
        if problem.targeted:
            longest = careful
            x = tf.where(per_image(found), x, problem.x0)
            multipliers = [tf.where(found[:, None], c, 0.0) for c in multipliers]
        else:
            longest = tf.where(found, longest, careful)
            x, excluded = problem.x0, problem.exclude(excluded, rival)
    return problem.results(best)
