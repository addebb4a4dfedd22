"""The results as files and as a table: `results.json`, `results.csv`, `report.md`."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from eval.detection import FALSE_POSITIVE_RATES
from eval.grid import ATTACKS
from magnet_tf.files import write_text


def write(
    directory: Path,
    rows: Sequence[dict],
    marks: dict,
    detection: Sequence[dict],
    made_by: Mapping[str, str],
) -> None:
    """Writes an evaluation's rows as JSON and CSV, and a report that explains them.

    Args:
        directory: exists.
        rows, marks: as from `Evaluation.judge`.
        detection: as from `eval.detection.rows`.
        made_by: what the results come from, {part: description}.
    """
    for name, table_rows in (("results", rows), ("detection", detection)):
        if not table_rows:
            continue  # no variant has a detector
        write_text(directory / f"{name}.json", json.dumps(table_rows, indent=1))
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=table_rows[0])
        writer.writeheader()
        writer.writerows(table_rows)
        write_text(directory / f"{name}.csv", text.getvalue())
    write_text(directory / "report.md", markdown(rows, marks, detection, made_by))


def attack_title(row: dict) -> str:
    """An attack with its rule and beta, as it stands in tables and legends."""
    title = f"{ATTACKS[row['attack']].title} {row['rule']}"
    return title if row["beta"] is None else f"{title}, β={row['beta']:g}"


COLUMNS = {
    "variant": lambda row: row["variant"],
    "attack": attack_title,
    "κ": lambda row: f"{row['confidence']:g}",
    "fooled": lambda row: f"{row['success_undefended']:.1%}",
    "none": lambda row: f"{row['accuracy_none']:.1%}",
    "detector": lambda row: f"{row['accuracy_detector']:.1%}",
    "reformer": lambda row: f"{row['accuracy_reformer']:.1%}",
    "both": lambda row: f"{row['accuracy_both']:.1%}",
    "ASR [95 %]": lambda row: (
        f"{row['asr']:.1%} [{row['asr_low']:.1%}, {row['asr_high']:.1%}]"
    ),
    "L1": lambda row: _distance(row["mean_l1"]),
    "L2": lambda row: _distance(row["mean_l2"]),
    "L∞": lambda row: _distance(row["mean_linf"]),
}


DETECTION_COLUMNS = {
    **{name: COLUMNS[name] for name in ("variant", "attack", "κ")},
    "detector": lambda row: row["detector"],
    "AUROC": lambda row: _share(row["auroc"], "{:.3f}"),
    **{
        f"rejected at {rate:.1%}": (
            lambda row, key=f"tpr_at_fpr_{rate:g}": _share(row[key], "{:.1%}")
        )
        for rate in FALSE_POSITIVE_RATES
    },
}


def table(rows: Sequence[dict], columns: dict = COLUMNS) -> str:
    """The rows as a table, in Markdown that a terminal shows aligned."""
    cells = [list(columns)] + [[cell(row) for cell in columns.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| "
        + " | ".join(
            text.ljust(width) for text, width in zip(line, widths, strict=True)
        )
        + " |"
        for line in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def markdown(
    rows: Sequence[dict],
    marks: dict,
    detection: Sequence[dict],
    made_by: Mapping[str, str],
) -> str:
    """The report: what was attacked, how each variant did, and the figures."""
    parts = "\n".join(f"| {part} | {what} |" for part, what in made_by.items())
    first = rows[0]
    variants = list(marks)
    clean = {row["variant"]: row["clean_accuracy_both"] for row in rows}
    thresholds = "\n".join(
        f"| {name} | {clean[name]:.2%} | "
        + ", ".join(f"{d} {t:.4g}" for d, t in marks[name]["thresholds"].items())
        + " |"
        for name in variants
    )
    accuracy = _pictures("Accuracy", "accuracy", variants)
    detecting = [name for name in variants if marks[name]["thresholds"]]
    curves = _pictures("Marks", "marks", detecting)
    rocs = _pictures("ROC curves", "roc", detecting)
    return f"""# MagNet in the oblivious setting: {first["dataset"]}

{first["num_examples"]} test images that the undefended classifier gets right (seed
{first["seed"]}) were attacked on that classifier alone; the results were handed to each
MagNet variant. Undefended, the classifier is right on {first["clean_accuracy_none"]:.2%} of
the clean test images.

| made by | |
|---|---|
{parts}

| variant | accuracy on clean test images | thresholds |
|---|---|---|
{thresholds}

## Attack success

*fooled*: adversarial examples found on the undefended classifier. *none, detector, reformer,
both*: accuracy under attack with no defence, detectors only, reformer only, and both; an
example that a detector rejects counts as handled. *ASR*: 1 - both, with Wilson's 95 %
interval. *L1, L2, L∞*: mean distances of the examples found.

{table(rows)}

![Attack success rate](asr.png)

## Accuracy by defence

{accuracy}

## Examples

![Adversarial examples](examples.png)
""" + (
        f"""
## Marks

{curves}

## Detection at any threshold

Adversarial examples that fooled the undefended classifier, against clean test images:
the area under the ROC curve, and the share rejected where 0.1 %, 1 % and 5 % of the clean
images are. *all*: all detectors together, at one drop rate for each.

{table(detection, DETECTION_COLUMNS)}

{rocs}
"""
        if detecting
        else ""
    )


def _pictures(title: str, stem: str, variants: Sequence[str]) -> str:
    return "\n\n".join(f"![{title}, {name}]({stem}_{name}.png)" for name in variants)


def _distance(value: float | None) -> str:
    return _share(value, "{:.3g}")


def _share(value: float | None, form: str) -> str:
    return "–" if value is None else form.format(value)
