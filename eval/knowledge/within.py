"""Attack success within an L2 distance: attacks within a ball beside those that look for the
nearest example, each by one run."""

from collections.abc import Iterator

from eval.grid import CONFIDENCE, Case
from eval.knowledge.results import AdaptiveResults
from eval.metrics import share_of

WITHIN_A_BALL = "opgd"  # the attack whose runs differ in a radius
ROUNDING = 1e-6  # of a radius


def rows(found: AdaptiveResults) -> Iterator[dict]:
    """A row for each defence, attacker, radius and attack; none without an attack within a ball.

    Args:
        found: by every attacker.

    Returns:
        Rows with the share of images that get past a defence within an L2 distance of
        `epsilon`, of those that it gets right when they are clean: under an attack within
        a ball with its run at this radius, under the others with the run at their least
        confidence.
    """
    for one in found.reached():
        of = one.on_defended
        cases = list(of.crafted)
        radii = sorted({c.run.confidence for c in cases if _in_a_ball(c)})
        for radius in radii:
            for case in (case for case in cases if _counts(case, radius, cases)):
                near = of.crafted[case].l2 <= radius * (1 + ROUNDING)
                past = of.variants[one.name].attacked[case].got_past & near
                share, low, high = share_of(past)
                yield {
                    "dataset": of.dataset,
                    "variant": one.name,
                    **one.attacker._asdict(),
                    **case.columns,
                    "epsilon": radius,
                    "num_defended": len(past),
                    "success": share,
                    "success_low": low,
                    "success_high": high,
                    "seed": of.seed,
                }


def _counts(case: Case, radius: float, cases: list[Case]) -> bool:
    """Whether a case is its attack's run for a radius."""
    if _in_a_ball(case):
        return case.run.confidence == radius
    if case.run.parameter != CONFIDENCE:
        return False  # has an axis of its own
    alike = (c for c in cases if c.title == case.title)
    return case.run.confidence == min(c.run.confidence for c in alike)


def _in_a_ball(case: Case) -> bool:
    return case.run.attack == WITHIN_A_BALL
