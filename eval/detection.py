"""How well detectors tell adversarial examples from clean images, at any threshold."""

from collections.abc import Mapping

import numpy as np

from eval.results import Results

FALSE_POSITIVE_RATES = (0.001, 0.01, 0.05)
TOGETHER = "all"


def together(
    marks: Mapping[str, np.ndarray], clean: Mapping[str, np.ndarray]
) -> np.ndarray:
    """One mark for all detectors: the largest share of clean images below any one.

    So a threshold on it rejects what any detector rejects, at one drop rate for each.

    Args:
        marks: {detector: marks [N]}.
        clean: {detector: marks [M] of clean images}.

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

    def rate(marks: np.ndarray) -> np.ndarray:
        return 1 - np.searchsorted(np.sort(marks), thresholds, side="left") / len(marks)

    return rate(clean), rate(adversarial)


def with_together(
    marks: Mapping[str, np.ndarray], clean: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Marks by detector, those of all detectors together added."""
    return {**marks, TOGETHER: together(marks, clean)}


def rows(results: Results) -> list[dict]:
    """A row for each variant, case and detector; none where there are no detectors.

    Args:
        results: of an evaluation.

    Returns:
        Rows with AUROC and true positive rates of the examples that fooled the undefended
        classifier, against the clean test images; None where there are none.
    """
    found = []
    for variant, own in results.variants.items():
        if not own.clean.marks:
            continue  # a reformer alone
        clean = with_together(own.clean.marks, own.clean.marks)
        for case, result in results.crafted.items():
            adversarial = with_together(own.attacked[case].marks, own.clean.marks)
            for detector, marks in adversarial.items():
                found.append(
                    {
                        "variant": variant,
                        **case.columns,
                        "detector": detector,
                        **rates(clean[detector], marks[result.success]),
                        **case.run.axis,
                    }
                )
    return found


def rates(clean: np.ndarray, adversarial: np.ndarray) -> dict:
    """How well marks tell adversarial from clean images; None where there are none.

    Args:
        clean: marks [M] of clean images.
        adversarial: marks [N].
    """
    some = len(adversarial) > 0
    return {
        "num_clean": len(clean),
        "num_adversarial": len(adversarial),
        "auroc": auroc(clean, adversarial) if some else None,
        **{
            f"tpr_at_fpr_{rate:g}": true_positive_rate(clean, adversarial, rate)
            if some
            else None
            for rate in FALSE_POSITIVE_RATES
        },
    }
