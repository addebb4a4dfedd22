"""Checks of what an evaluation left: it is asked again, nothing is attacked."""

import itertools

import numpy as np

from eval.auditing.evidence import Evidence
from eval.auditing.finding import Finding, judged, none
from eval.grid import CONFIDENCE
from magnet_cli.progress import progress
from magnet_tf import IdentityReformer, MagNet, variants, zoo
from magnet_tf.errors import UserError
from magnet_tf.outcomes import Outcome

ROUNDING = 1e-5  # of pixels
SLACK = 1e-3  # of a margin, in logits


def bounds(evidence: Evidence) -> Finding:
    """Pixels outside [0, 1], NaN, or distances other than those that were stored."""
    wrong, total, worst = 0, 0, 0.0
    for result in evidence.crafted.values():
        x = result.adversarial.astype(np.float64)
        beyond = np.maximum(-x, x - 1).reshape(len(x), -1).max(axis=1)
        d = np.abs(x - evidence.images).reshape(len(x), -1)
        off = np.abs(np.sqrt((d**2).sum(axis=1)) - result.l2) > ROUNDING * (
            1 + result.l2
        )
        bad = ~(beyond <= ROUNDING) | off
        if bad.any():
            worst = max(worst, float(np.nanmax(beyond)))
        wrong, total = wrong + int(bad.sum()), total + len(bad)
    return judged(
        wrong == 0,
        wrong,
        f"{wrong} of {total} examples lie outside [0, 1] (by up to {worst:.3g}) or are not "
        "as far away as was said",
    )


def margin(evidence: Evidence) -> Finding:
    """The least margin that an example has beyond the kappa that it was found for."""
    least, where = np.inf, ""
    for case, result in evidence.crafted.items():
        if not result.success.any():
            continue
        kappa = case.run.margin
        found = evidence.margins(result.adversarial, evidence.labels)[result.success]
        if (over := float(found.min()) - kappa) < least:
            least, where = over, f"{case.title} {case.run.setting}"
    if not where:
        return none("no example was found")
    return judged(
        least >= -SLACK, least, f"the least margin is κ {least:+.4g} ({where})"
    )


def rates(evidence: Evidence) -> Finding:
    """The largest difference of a success rate from the one that was written."""
    worst, where = 0.0, "nowhere"
    asked = list(itertools.product(evidence.defences.items(), evidence.crafted.items()))
    for (variant, magnet), (case, result) in progress(
        asked, desc="rates", unit="verdict", leave=False
    ):
        outcome = Outcome.of(magnet, result.adversarial, evidence.labels)
        row = evidence.row(variant, case)
        own = {
            "asr": float(outcome.got_past.mean()),
            "success_undefended": float(np.mean(~outcome.right & result.success)),
        }
        for key, value in own.items():
            if (off := abs(value - row[key])) > worst:
                worst, where = off, f"{key}, {variant}, {case.name}"
    return judged(
        worst <= 0.5 / len(evidence.labels),
        100 * worst,
        f"the largest difference is {100 * worst:.2f} points ({where})",
    )


def card(evidence: Evidence) -> Finding:
    """The largest relative difference of a threshold, or absolute one of an accuracy."""
    data = evidence.dataset
    if not len(data.validation.labels):
        return none("the data has no validation images")
    known = variants.VARIANTS[data.like]
    worst, where = 0.0, "nowhere"
    for name, magnet in evidence.defences.items():
        own = next(row for row in evidence.rows if row["variant"] == name)
        clean = Outcome.of(magnet, *data.test).accuracies(attacked=False)
        off = {
            "clean accuracy": abs(clean.both - own["clean_accuracy_both"]),
            "clean accuracy, undefended": abs(clean.none - own["clean_accuracy_none"]),
        }
        for detector, wanted in _wanted(name, magnet, data, known).items():
            have = magnet.thresholds[detector]
            off[f"threshold {detector}"] = abs(have - wanted) / wanted
        for what, value in off.items():
            if not value <= worst:
                worst, where = value, f"{what} of {name}"
    return judged(
        worst <= 1e-3, worst, f"the largest difference is {worst:.2%} ({where})"
    )


def _wanted(name: str, magnet: MagNet, data, known) -> dict[str, float]:
    """The thresholds that a variant must have: the zoo's, or its validation images'."""
    variant = name.split("-seed")[0]
    if variant not in known:
        return {}
    try:
        if data.zoo and name == variant:
            entry = zoo.load(data.zoo, variant)
            same = all(
                np.array_equal(a, b)
                for a, b in zip(entry.get_weights(), magnet.get_weights())
                if a.shape == b.shape and a.size > 64
            )
            if same:
                return dict(entry.thresholds)
    except UserError:
        pass
    copy = MagNet(magnet.classifier, magnet.reformer, magnet.detectors)
    copy.calibrate(data.validation.images, known[variant].drop_rates)
    return dict(copy.thresholds)


def unbounded(evidence: Evidence) -> Finding:
    """The least success of the attacks that are not bounded.

    Of one with confidences that at the least of them; of one that differs in something else,
    such as its steps, the largest.
    """
    least, where, falls = 1.0, "", 0.0
    for case in evidence.crafted:
        own = [
            (other.run.confidence, found.success.mean())
            for other, found in evidence.crafted.items()
            if other.title == case.title
        ]
        rates_ = [rate for _, rate in sorted(own)]
        if case.run.bounded:
            if case.run.parameter != CONFIDENCE:
                falls = max(falls, float(-np.diff(rates_).min(initial=0)))
            continue
        rate = rates_[0] if case.run.parameter == CONFIDENCE else max(rates_)
        if rate < least or not where:
            least, where = float(rate), case.title

    if falls > 0:
        return judged(False, falls, f"success falls by {falls:.1%} as the budget rises")
    if not where:
        return none("every attack is bounded")
    return judged(
        least == 1, least, f"the least success without a bound is {least:.1%} ({where})"
    )


def broken_defence(evidence: Evidence) -> Finding:
    """The least share of the examples found that gets past a defence that does nothing."""
    least, where = 1.0, "everywhere"
    for name, magnet in evidence.defences.items():
        copy = MagNet(magnet.classifier, IdentityReformer(), magnet.detectors)
        nothing = float(np.finfo(np.float32).max)
        copy.set_thresholds(dict.fromkeys(magnet.detectors, nothing))
        for cases in evidence.middle().values():
            for case in cases:
                result = evidence.crafted[case]
                if not result.success.any():
                    continue
                outcome = Outcome.of(copy, result.adversarial, evidence.labels)
                share = float(outcome.got_past[result.success].mean())
                if share < least:
                    least, where = share, f"{name}, {case.name}"
    return judged(
        least == 1, least, f"{least:.1%} of the examples found get past it ({where})"
    )
