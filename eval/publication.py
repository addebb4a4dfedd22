"""What an evaluation leaves for its reader: files of rows, reports, figures, defences."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from eval import detection, figures, html_report, report, summary
from eval.html_report.gallery import Heal
from eval.results import Results
from eval.store import Store
from eval.subject import Defence
from magnet_tf import files


def write(
    directory: Path,
    results: Results,
    made_by: Mapping[str, str],
    heal: Heal | None = None,
) -> None:
    """Writes rows, reports and figures, each file whole, and says what came out.

    Args:
        directory: exists.
        results: of an evaluation.
        made_by: what the results come from, {part: description}.
        heal: from images [N, H, W, C] to what each variant's reformer makes of them, by
            name; None where no healed images are to be shown.
    """
    rows, detected = results.rows(), detection.rows(results)
    write_rows(directory, "results", rows)
    write_rows(directory, "worst_case", results.worst_cases())
    if chance := results.chance():  # some variant was trained several times
        write_rows(directory, "chance", chance)
    if detected:  # some variant has a detector
        write_rows(directory, "detection", detected)
    files.write_text(
        directory / "report.md", report.markdown(results, detected, made_by)
    )
    files.write_text(
        directory / "report.html", html_report.page(results, detected, made_by, heal)
    )
    figures.write(directory, results)
    print("\n\n".join(summary.sentences(rows) + report.warnings(results)))
    for variant, table in summary.tables(rows).items():
        print(f"\n{variant}\n{table}")
    print(f"\n{directory}/report.html, and report.md, have everything.")


def write_rows(directory: Path, name: str, rows: Sequence[dict]) -> None:
    """Writes rows of the same keys, at least one, as JSON and CSV."""
    files.write_text(directory / f"{name}.json", json.dumps(rows, indent=1))
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=rows[0])
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(directory / f"{name}.csv", text.getvalue())


def keep_defences(
    directory: Path, defences: Mapping[str, Defence], store: Store
) -> None:
    """Saves each defence as `defended_<name>.keras`; one that is there and whole stays.

    Args:
        directory: exists.
        defences: by name.
        store: remembers what was written.
    """
    for name, defence in defences.items():
        path = directory / f"defended_{name}.keras"
        known = store.load(f"defended/{name}", defence.settings)
        if known and path.exists() and files.sha256(path) == str(known["sha256"]):
            continue
        defence.magnet().save(path)
        digest = np.array(files.sha256(path))
        store.save(f"defended/{name}", defence.settings, {"sha256": digest})
