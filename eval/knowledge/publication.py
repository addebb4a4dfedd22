"""What an adaptive evaluation leaves for its reader: files of rows, a report, figures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from eval.knowledge import figures, report, within
from eval.knowledge.results import AdaptiveResults
from eval.publication import write_rows
from magnet_tf import files


def write(
    directory: Path,
    found: AdaptiveResults,
    at_rates: Sequence[dict],
    targeted: Sequence[dict],
    made_by: Mapping[str, str],
) -> None:
    """Writes rows, report and figures, each file whole, and says what came out.

    Args:
        directory: exists.
        found: by every attacker.
        at_rates: as from `rates.rows`; none where no defence has a detector.
        targeted: as from `targeted.rows`; none where nothing was attacked so.
        made_by: what the results come from, {part: description}.
    """
    rows, worst = found.rows(), found.worst_cases()
    near = list(within.rows(found))
    tables = {
        "results": rows,
        "worst_case": worst,
        "success_at_rates": at_rates,
        "success_within": near,
        "targeted": targeted,
    }
    for name, of in tables.items():
        if of:
            write_rows(directory, name, of)
    text = report.markdown(found, near, at_rates, targeted, made_by)
    files.write_text(directory / "report.md", text)
    figures.write(directory, rows)
    print("\n\n".join(report.sentences(rows) + report.warnings(found)))
    print(f"\n{directory}/report.md has everything.")
