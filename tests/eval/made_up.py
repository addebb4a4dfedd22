"""A made-up evaluation of two variants.

C&W fails at kappa = 10; EAD runs at two betas.
"""

import numpy as np

from attacks import AttackResult
from eval.grid import Run, runs

COUNT, SIDE = 12, 6
CONFIDENCES, BETAS = (0.0, 10.0), (0.01, 0.1)
VARIANTS = {"D": ["I", "II"], "D+JSD": ["I", "II", "JSD10", "JSD40"]}
FAILED = Run("cw", 10.0)


def images() -> np.ndarray:
    random = np.random.RandomState(0)
    return random.uniform(size=(COUNT, SIDE, SIDE, 1)).astype(np.float32)


def crafted(betas=BETAS) -> dict[Run, dict[str, AttackResult]]:
    """Each run's results by rule; one image, or all of a failed run, failed."""
    random, x, results = np.random.RandomState(1), images(), {}
    for run in runs(["cw", "ead"], CONFIDENCES, betas):
        results[run] = {}
        for rule in ["L2"] if run.attack == "cw" else ["EN", "L1"]:
            success = np.full(COUNT, run != FAILED)
            success[0] = False
            change = random.uniform(-0.5, 0.5, x.shape) * success[:, None, None, None]
            adversarial = np.clip(x + change, 0, 1).astype(np.float32)
            change = np.abs(adversarial - x).reshape(COUNT, -1).astype(np.float64)
            norms = change.sum(1), np.sqrt((change**2).sum(1)), change.max(1)
            results[run][rule] = AttackResult(
                adversarial, success, np.ones(COUNT), *norms
            )
    return results


def rows(betas=BETAS) -> list[dict]:
    """The rows of `results.json`, all of whose shares differ."""
    found = []
    for variant in VARIANTS:
        for run, results in crafted(betas).items():
            for rule, result in results.items():
                both = (len(found) + 1) / 100
                means = {
                    f"mean_{norm}": float(values[result.success].mean())
                    if result.success.any()
                    else None
                    for norm, values in zip(("l1", "l2", "linf"), result[3:])
                }
                found.append(
                    {
                        "dataset": "digits",
                        "variant": variant,
                        "attack": run.attack,
                        "rule": rule,
                        "beta": run.beta,
                        "confidence": run.confidence,
                        "num_examples": COUNT,
                        "success_undefended": float(result.success.mean()),
                        "accuracy_none": both / 4,
                        "accuracy_detector": both / 2,
                        "accuracy_reformer": both / 3,
                        "accuracy_both": both,
                        "asr": 1 - both,
                        "asr_low": 0.9 - both,
                        "asr_high": min(1.0, 1.1 - both),
                        **means,
                        "clean_accuracy_none": 0.98,
                        "clean_accuracy_both": 0.97 if variant == "D" else 0.96,
                        "seed": 3,
                    }
                )
    return found


def marks(betas=BETAS) -> dict:
    """As from `Evaluation.judge`: adversarial examples have the larger marks."""
    random, found = np.random.RandomState(2), {}
    for variant, detectors in VARIANTS.items():
        found[variant] = {
            "thresholds": {name: 0.1 * (i + 1) for i, name in enumerate(detectors)},
            "clean": {name: random.uniform(0.01, 0.3, 40) for name in detectors},
        }
        for run, results in crafted(betas).items():
            for rule in results:
                found[variant][run, rule] = {
                    name: random.uniform(0.02, 0.6, COUNT) for name in detectors
                }
    return found
