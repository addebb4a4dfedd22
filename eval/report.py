"""The results as files and as a table: `results.json`, `results.csv`, `report.md`."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

from eval.grid import ATTACKS
from train.files import write_text


def write(directory: Path, rows: Sequence[dict], marks: dict) -> None:
    """Writes the rows of an evaluation, and a report that explains them."""
    write_text(directory / "results.json", json.dumps(rows, indent=1))
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=rows[0])
    writer.writeheader()
    writer.writerows(rows)
    write_text(directory / "results.csv", text.getvalue())
    write_text(directory / "report.md", markdown(rows, marks))


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


def table(rows: Sequence[dict]) -> str:
    """The rows as a table, in Markdown that a terminal shows aligned."""
    cells = [list(COLUMNS)] + [[cell(row) for cell in COLUMNS.values()] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths)) + " |"
        for line in cells
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def markdown(rows: Sequence[dict], marks: dict) -> str:
    """The report: what was attacked, how each variant did, and the figures."""
    first = rows[0]
    variants = list(marks)
    clean = {row["variant"]: row["clean_accuracy_both"] for row in rows}
    thresholds = "\n".join(
        f"| {name} | {clean[name]:.2%} | "
        + ", ".join(f"{d} {t:.4g}" for d, t in marks[name]["thresholds"].items())
        + " |"
        for name in variants
    )
    accuracy = "\n\n".join(
        f"![Accuracy, {name}](accuracy_{name}.png)" for name in variants
    )
    histograms = "\n\n".join(f"![Marks, {name}](marks_{name}.png)" for name in variants)
    return f"""# MagNet in the oblivious setting: {first["dataset"]}

{first["num_examples"]} test images that the undefended classifier gets right (seed
{first["seed"]}) were attacked on that classifier alone; the results were handed to each
MagNet variant. Undefended, the classifier is right on {first["clean_accuracy_none"]:.2%} of
the clean test images.

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

## Marks

{histograms}
"""


def _distance(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
