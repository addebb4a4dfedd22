"""The minimum-norm search over several confidences at once: each begins where its neighbour ended.

A low confidence finds, for each image, the classes that `minimum_norm.search` would aim at.
Each class is then a lane, whose minimisation by the smooth rule is carried upward and
downward from there by warm starts. The L1 rule starts anew from it, because a sparse example
is a poor start for another one: one rung of successive halving (Jamieson & Talwalkar 2016,
arXiv 1502.07943) gives all lanes a few iterations, and the one that leads the rest.
"""

import dataclasses
import functools
from collections.abc import Sequence

import tensorflow as tf

from attacks.lagrangian import Problem, Rule, State, at_rest
from attacks.objective import keep
from attacks.result import AttackResult

LANES = 3  # classes that are aimed at, at most
RUNG = 15  # iterations before all lanes but one are left


@dataclasses.dataclass(frozen=True)
class Lane:
    """One class to aim at, image by image, and where its minimisation is.

    Attributes:
        excluded: bool [N, K], every other class.
        state: of the smooth rule.
        gap: [N, 1], what the margin had to change by, from the image to the confidence.
    """

    excluded: tf.Tensor
    state: State
    gap: tf.Tensor


def search(
    problem: Problem, confidences: Sequence[float]
) -> list[dict[str, AttackResult]]:
    """The best example of each image by each rule, for each confidence, in their order."""
    ascending = sorted(set(confidences))
    first = (len(ascending) - 1) // 3
    lanes, bests = opened(problem, ascending[first])
    results = {ascending[first]: finished(problem, ascending[first], lanes, bests)}
    for direction in (ascending[first + 1 :], ascending[:first][::-1]):
        here = lanes
        for confidence in direction:
            here, bests = carried(problem, confidence, here)
            results[confidence] = finished(problem, confidence, here, bests)
    return [results[confidence] for confidence in confidences]


def opened(problem: Problem, confidence: float) -> tuple[list[Lane], list[dict]]:
    """Lanes to the classes that the smooth rule reaches, one after the other."""
    smooth, excluded, lanes, bests = problem.rules[0], problem.any_class(), [], []
    for _ in range(1 if problem.targeted else min(LANES, problem.num_classes - 1)):
        state, best, rival = problem.run(
            smooth,
            problem.goal(confidence, excluded),
            at_rest(problem.x0, problem.no_multipliers()),
            problem.nothing(),
        )
        aim = excluded if problem.targeted else problem.all_but(rival)
        lanes.append(Lane(aim, state, problem.gap(confidence, aim)))
        bests.append(best)
        excluded = problem.exclude(excluded, rival)
    return lanes, bests


def carried(
    problem: Problem, confidence: float, lanes: Sequence[Lane]
) -> tuple[list[Lane], list[dict]]:
    """The lanes' minimisations, taken on to the next confidence."""
    smooth = shortened(problem)[0]
    ends, bests = [], []
    for lane in lanes:
        there = problem.gap(confidence, lane.excluded)
        # Downward, the multiplier shrinks with the gap; upward, the phase adds what is missing.
        shrunk = lane.state.multipliers[:, :1] * tf.minimum(there / lane.gap, 1.0)
        multipliers = tf.concat([shrunk, lane.state.multipliers[:, 1:]], axis=1)
        start = at_rest(lane.state.x, multipliers)
        goal = problem.goal(confidence, lane.excluded)
        state, best, _ = problem.run(smooth, goal, start, problem.nothing())
        ends.append(Lane(lane.excluded, state, there))
        bests.append(best)
    return ends, bests


def finished(
    problem: Problem, confidence: float, lanes: Sequence[Lane], bests: Sequence[dict]
) -> dict[str, AttackResult]:
    """What a confidence gives in the end, after a rung of each rule but the smooth one."""
    rung = problem.scaled(RUNG)
    for rule in shortened(problem)[1:]:
        raced = [
            problem.run(
                rule,
                problem.goal(confidence, lane.excluded),
                at_rest(lane.state.x, problem.no_multipliers()),
                best,
                0,
                rung,
            )
            for lane, best in zip(lanes, bests, strict=True)
        ]
        states, bests = [run[0] for run in raced], [run[1] for run in raced]
        leads = tf.argmin(tf.stack([best[rule.name][0] for best in bests], 1), axis=1)
        _, best, _ = problem.run(
            rule,
            problem.goal(confidence, choose(leads, [lane.excluded for lane in lanes])),
            State(*(choose(leads, parts) for parts in zip(*states, strict=True))),
            merged(bests),
            rung,
        )
        bests = [best]
    problem.after_phase()
    return problem.results(merged(bests))


def shortened(problem: Problem) -> list[Rule]:
    """The rules with the iterations that they need once there is a start.

    Targeted there is one lane only, and time for the whole.
    """
    if problem.targeted:
        return list(problem.rules)
    smooth, *sparse = problem.rules
    few = dataclasses.replace(
        smooth,
        iterations=problem.scaled(18 if sparse else 22),
        primal_step=(0.3, 0.03),
        dual_step=(0.3, 0.03),
    )
    return [few] + [
        dataclasses.replace(
            rule,
            iterations=problem.scaled(76),
            primal_step=(0.3, 0.008),
            dual_step=(0.25, 0.04),
        )
        for rule in sparse
    ]


def choose(index: tf.Tensor, tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Image by image the tensor that `index` names: [N, ...] of several [N, ...]."""
    return tf.gather(tf.stack(tensors, axis=1), index, axis=1, batch_dims=1)


def merged(bests: Sequence[dict]) -> dict:
    """Image by image and rule by rule the best of several."""
    return {
        rule: functools.reduce(keep, [best[rule] for best in bests])
        for rule in bests[0]
    }
