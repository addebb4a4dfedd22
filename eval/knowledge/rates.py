"""Attack success where the whole defence rejects a fixed share of clean images.

SR@f of Bryniarski, Hingun, Pachuca, Wang & Carlini, "Evading Adversarial Example Detection
Defenses with Orthogonal Projected Gradient Descent" (arXiv 2106.15023), section 5: the share
of images that pass and are misclassified, with the threshold set so that a share f of clean
images is rejected. Here there are several detectors: their thresholds are set together, at
one drop rate for each, so that all of them reject no more than f of the clean validation
images.
"""

import functools
from collections.abc import Iterator, Mapping

import numpy as np

from eval.detection import together
from eval.knowledge.results import Reached
from eval.metrics import share_of
from eval.subject import Defence
from magnet_tf import MagNet
from magnet_tf.outcomes import Outcome


def thresholds_at(clean: Mapping[str, np.ndarray], rate: float) -> dict[str, float]:
    """The least thresholds, at one drop rate for each detector, that keep a rate.

    Args:
        clean: {detector: marks [M] of clean images}, at least one detector.
        rate: of false positives, in [0, 1): at most int(M * rate) images have a mark at or
            above its threshold.

    Returns:
        {detector: threshold}; marks below it pass.
    """
    # An image is rejected where its largest share of clean images below it is above this.
    share = np.sort(together(clean, clean))
    count = len(share)
    place = round(share[count - 1 - int(count * rate)] * count)
    return {
        name: float(np.nextafter(np.sort(marks)[place], np.inf, dtype=marks.dtype))
        for name, marks in clean.items()
    }


def retuned(defence: Defence, thresholds: Mapping[str, float]) -> Defence:
    """The same defence with other thresholds."""

    @functools.cache
    def magnet() -> MagNet:
        of = defence.magnet()
        other = MagNet(of.classifier, of.reformer, of.detectors)
        other.set_thresholds(thresholds)
        return other

    settings = {**defence.settings, "retuned": dict(thresholds)}
    return Defence(defence.variant, defence.detectors, settings, magnet)


def passed(outcome: Outcome, thresholds: Mapping[str, float]) -> np.ndarray:
    """bool [N], the images that pass at other thresholds than those that were judged by."""
    return np.all(
        [outcome.marks[name] < limit for name, limit in thresholds.items()], axis=0
    )


def rows(
    reached: Reached, chosen: np.ndarray, rate: float, thresholds: Mapping[str, float]
) -> Iterator[dict]:
    """A row for each case, at one rate.

    Args:
        reached: by an attacker against one defence.
        chosen: which of the test images were attacked, int [N].
        rate: of false positives on the validation images.
        thresholds: as from `thresholds_at`.

    Returns:
        Rows with the rate that the test images have, and the share, of the images that the
        defence gets right at these thresholds when they are clean, that gets past it.
    """
    of = reached.results.variants[reached.name]
    passing = passed(of.clean, thresholds)
    defended = (passing & of.clean.right_healed)[chosen]
    for row, case in reached.results.rows_and_cases():
        outcome = of.attacked[case].at(defended)
        past = passed(outcome, thresholds) & ~outcome.right_healed
        share, low, high = share_of(past)
        yield {
            **{key: row[key] for key in ("dataset", "variant")},
            **reached.attacker._asdict(),
            **case.columns,
            "false_positive_rate": rate,
            "false_positive_rate_test": float(1 - passing.mean()),
            "num_defended": len(past),
            "success": share,
            "success_low": low,
            "success_high": high,
            "seed": row["seed"],
            **case.run.axis,
        }
