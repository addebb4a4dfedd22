"""A made-up evaluation of two variants.

C&W fails at kappa = 10; EAD runs at two betas.
"""

import numpy as np

from attacks.result import AttackResult, measured
from eval.grid import Case, Run, groups
from eval.results import Results, VariantResults
from magnet_tf.datasets import Split
from magnet_tf.outcomes import Outcome

COUNT, SIDE, CLEAN = 12, 6, 50
CONFIDENCES, BETAS = (0.0, 10.0), (0.01, 0.1)
VARIANTS = {"D": ["I", "II"], "D+JSD": ["I", "II", "JSD10", "JSD40"]}
FAILED = Run("cw", 10.0)


def images() -> np.ndarray:
    random = np.random.RandomState(0)
    return random.uniform(size=(COUNT, SIDE, SIDE, 1)).astype(np.float32)


def crafted(betas=BETAS) -> dict[Case, AttackResult]:
    """Each case's results; one image, or all of a failed run, failed."""
    random, x, results = np.random.RandomState(1), images(), {}
    for group in groups(["cw", "ead"], CONFIDENCES, betas, sweep=True):
        for run in group.runs:
            for rule in ["L2"] if run.attack == "cw" else ["EN", "L1"]:
                success = np.full(COUNT, run != FAILED)
                success[0] = False
                change = random.uniform(-0.5, 0.5, x.shape)
                adversarial = np.clip(x + change, 0, 1).astype(np.float32)
                results[Case(run, rule)] = measured(
                    x, adversarial, success, np.ones(COUNT)
                )
    return results


def outcome(random, count: int, detectors: list[str], right, most: float) -> Outcome:
    """With marks up to `most`; some pass, and some are healed."""
    return Outcome(
        right=right,
        right_healed=random.uniform(size=count) < 0.6,
        passed=random.uniform(size=count) < 0.7,
        marks={name: random.uniform(0.01, most, count) for name in detectors},
    )


def results(betas=BETAS) -> Results:
    """Adversarial examples have the larger marks."""
    random, cases = np.random.RandomState(2), crafted(betas)
    variants = {}
    for variant, detectors in VARIANTS.items():
        variants[variant] = VariantResults(
            variant=variant,
            thresholds={name: 0.1 * (i + 1) for i, name in enumerate(detectors)},
            clean=outcome(random, CLEAN, detectors, np.arange(CLEAN) > 0, 0.3),
            attacked={
                case: outcome(random, COUNT, detectors, ~result.success, 0.6)
                for case, result in cases.items()
            },
        )
    labels = np.zeros(COUNT, np.int64)
    return Results("digits", 3, Split(images(), labels), cases, variants)
