"""How well detectors tell adversarial examples from clean images, at any threshold."""

import numpy as np

FALSE_POSITIVE_RATES = (0.001, 0.01, 0.05)
TOGETHER = "all"


def together(marks: dict[str, np.ndarray], clean: dict[str, np.ndarray]) -> np.ndarray:
    """One mark for all detectors: the largest share of clean images below any one.

    So a threshold on it rejects what any detector rejects, at one drop rate for each.

    Args:
        marks: {detector: marks [N]}. clean: {detector: marks [M] of clean images}.

    Returns:
        float64 [N] in [0, 1].
    """
    shares = [
        np.searchsorted(np.sort(clean[name]), own, side="left") / len(clean[name])
        for name, own in marks.items()
    ]
    return np.max(shares, axis=0)


def auroc(clean: np.ndarray, adversarial: np.ndarray) -> float:
    """Area under the ROC curve: P(adversarial > clean), ties counted half."""
    clean = np.sort(clean)
    below = np.searchsorted(clean, adversarial, side="left")
    not_above = np.searchsorted(clean, adversarial, side="right")
    return float(np.mean(below + not_above) / 2 / len(clean))


def true_positive_rate(
    clean: np.ndarray, adversarial: np.ndarray, false_positive_rate: float
) -> float:
    """The share of adversarial marks that are rejected where this share of clean ones is.

    As in `MagNet.calibrate`, int(M * rate) of the M clean marks are rejected.
    """
    rejected = int(len(clean) * false_positive_rate)
    if rejected == 0:
        return float(np.mean(adversarial > clean.max()))
    return float(np.mean(adversarial >= np.sort(clean)[-rejected]))


def roc(clean: np.ndarray, adversarial: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates at every threshold, both rising from 0 to 1."""
    thresholds = np.append(
        np.inf, np.unique(np.concatenate([clean, adversarial]))[::-1]
    )
    return tuple(
        1 - np.searchsorted(np.sort(marks), thresholds, side="left") / len(marks)
        for marks in (clean, adversarial)
    )


def with_together(
    marks: dict[str, np.ndarray], clean: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Marks by detector, those of all detectors together added."""
    return {**marks, TOGETHER: together(marks, clean)}


def rows(marks: dict, crafted: dict) -> list[dict]:
    """A row for each variant, run, rule and detector; none where there are no detectors.

    Args:
        marks: as from `Evaluation.judge`. crafted: as from `Evaluation.craft`.

    Returns:
        Rows with AUROC and true positive rates of the examples that fooled the undefended
        classifier, against the clean test images; None where there are none.
    """
    found = []
    for variant, own in marks.items():
        if not own["clean"]:
            continue  # a reformer alone
        clean = with_together(own["clean"], own["clean"])
        for run, results in crafted.items():
            for rule, result in results.items():
                adversarial = with_together(own[run, rule], own["clean"])
                for detector, values in adversarial.items():
                    values = values[result.success]
                    row = {
                        "variant": variant,
                        "attack": run.attack,
                        "rule": rule,
                        "beta": run.beta,
                        "confidence": run.confidence,
                        "detector": detector,
                        "num_clean": len(clean[detector]),
                        "num_adversarial": len(values),
                        "auroc": auroc(clean[detector], values)
                        if len(values)
                        else None,
                    }
                    for rate in FALSE_POSITIVE_RATES:
                        row[f"tpr_at_fpr_{rate:g}"] = (
                            true_positive_rate(clean[detector], values, rate)
                            if len(values)
                            else None
                        )
                    found.append(row)
    return found
