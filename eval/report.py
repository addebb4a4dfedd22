"""The report of an evaluation, in Markdown: what came out first, how it was made last."""

from collections.abc import Mapping, Sequence

from eval import summary
from eval.detection import FALSE_POSITIVE_RATES
from eval.grid import CONFIDENCE, Case, at, title
from eval.results import Results
from eval.tables import interval, number, of_rows, percent


def attack_title(row: Mapping) -> str:
    """A row's attack with its rule and beta, as it stands in tables and legends."""
    return title(row["attack"], row["rule"], row["beta"])


def setting(row: Mapping) -> str:
    """A row's kappa, or the value of what takes its place."""
    if row["parameter"] in (None, CONFIDENCE):
        return number(row["value"], "{:g}")
    return at(row["parameter"], row["value"])


def at_setting(case: Case) -> str:
    """A case and its place among the runs of its attack."""
    return " at ".join(filter(None, [case.title, case.run.setting]))


def _percent(key: str):
    return lambda row: percent(row[key], row["num_examples"])


COLUMNS = {
    "variant": lambda row: row["variant"],
    "attack": attack_title,
    "κ": setting,
    "fooled": _percent("success_undefended"),
    "none": _percent("accuracy_none"),
    "detector": _percent("accuracy_detector"),
    "reformer": _percent("accuracy_reformer"),
    "both": _percent("accuracy_both"),
    "ASR [95 %]": interval,
    "L1": lambda row: number(row["mean_l1"]),
    "L2": lambda row: number(row["mean_l2"]),
    "L∞": lambda row: number(row["mean_linf"]),
}

WORST_CASE = {
    "variant": lambda row: row["variant"],
    "attacks": lambda row: row["attacks"],
    "tried": lambda row: str(row["num_attacks"]),
    "ASR [95 %]": interval,
}

CHANCE = {
    **{name: COLUMNS[name] for name in ("variant", "attack", "κ")},
    "trainings": lambda row: str(row["num_trainings"]),
    "ASR: least": _percent("asr_least"),
    "median": _percent("asr_median"),
    "most": _percent("asr_most"),
}

DETECTION = {
    **{name: COLUMNS[name] for name in ("variant", "attack", "κ")},
    "detector": lambda row: row["detector"],
    "AUROC": lambda row: number(row["auroc"], "{:.2f}"),
    **{
        f"rejected at {rate:.1%}": (
            lambda row, key=f"tpr_at_fpr_{rate:g}": percent(
                row[key], row["num_adversarial"]
            )
        )
        for rate in FALSE_POSITIVE_RATES
    },
}


def markdown(
    results: Results, detection: Sequence[dict], made_by: Mapping[str, str]
) -> str:
    """The report.

    Args:
        results: of an evaluation.
        detection: as from `eval.detection.rows`.
        made_by: what the results come from, {part: description}.
    """
    rows, names = results.rows(), list(results.variants)
    parts = [
        f"# MagNet in the oblivious setting: {results.dataset}",
        "\n\n".join(summary.sentences(rows)),
        *warnings(results),
        "![Attack success rate](asr.png)",
        (
            "*ASR*: the share of attacked images that pass the detectors and are misclassified "
            "when healed, with Wilson's 95 % interval. *β* weighs the L1 norm, *κ* is the margin "
            "by which the undefended classifier is fooled."
        ),
        *(f"## {name}\n\n{table}" for name, table in summary.tables(rows).items()),
        "## The worst case for each image\n\nThe share of images that any of the attacks "
        "tried gets past the defence: an attacker picks the best.\n\n"
        + of_rows(results.worst_cases(), WORST_CASE),
        *_chance(results),
        "## Examples\n\n![Adversarial examples](examples.png)",
        how_it_was_made(results, made_by),
        _accuracy(rows, names),
        *_detection(results, detection),
    ]
    return "\n\n".join(parts) + "\n"


def warnings(results: Results) -> list[str]:
    """A warning where the classifier does not see what the attacks claim; else none."""
    found = results.disagreements()
    if not found:
        return []
    cases = ", ".join(f"{at_setting(case)} ({count})" for case, count in found.items())
    return [
        (
            "**Warning**: the undefended classifier does not say the same of the same image "
            f"twice. Images on which it disagrees with what the attack found: {cases}. Such "
            "figures are not to be trusted."
        )
    ]


def _chance(results: Results) -> list[str]:
    rows = results.chance()
    if not rows:
        return []
    return [
        "## Chance\n\nThe same examples against several trainings of the same defence.\n\n"
        + of_rows(rows, CHANCE)
    ]


def how_it_was_made(results: Results, made_by: Mapping[str, str]) -> str:
    """What the results come from, and what each variant makes of clean images."""
    rows = "\n".join(f"| {part} | {what} |" for part, what in made_by.items())
    thresholds = "\n".join(
        f"| {name} | {of.clean.accuracies(attacked=False).both:.2%} | "
        + ", ".join(f"{d} {t:.4g}" for d, t in of.thresholds.items())
        + " |"
        for name, of in results.variants.items()
    )
    return f"""## How it was made

| part | |
|---|---|
{rows}
| images | {len(results.examples.labels)} drawn with seed {results.seed} |

| variant | right on clean test images | thresholds |
|---|---|---|
{thresholds}"""


def _accuracy(rows: Sequence[dict], names: Sequence[str]) -> str:
    return f"""## Appendix: accuracy

*fooled*: adversarial examples found on the undefended classifier. *none, detector, reformer,
both*: accuracy under attack with no defence, detectors only, reformer only, and both; an
example that a detector rejects counts as handled. *ASR*: 1 - both. *L1, L2, L∞*: mean
distances of the examples found.

{of_rows(rows, COLUMNS)}

{_pictures("Accuracy", "accuracy", names)}"""


def _detection(results: Results, detection: Sequence[dict]) -> list[str]:
    detecting = [name for name, of in results.variants.items() if of.thresholds]
    if not detecting:
        return []
    return [
        f"""## Appendix: detection at any threshold

Adversarial examples that fooled the undefended classifier, against clean test images:
the area under the ROC curve, and the share rejected where 0.1 %, 1 % and 5 % of the clean
images are. *all*: all detectors together, at one drop rate for each.

{of_rows(detection, DETECTION)}

{_pictures("Marks", "marks", detecting)}

{_pictures("ROC curves", "roc", detecting)}"""
    ]


def _pictures(alt: str, stem: str, variants: Sequence[str]) -> str:
    return "\n\n".join(f"![{alt}, {name}]({stem}_{name}.png)" for name in variants)
