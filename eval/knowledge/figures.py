"""The figures of an adaptive evaluation: a curve for each attacker."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import matplotlib.figure

from eval import figures
from eval.knowledge.report import attacker

NORMS = {"l1": "mean L1", "l2": "mean L2"}


def write(directory: Path, rows: Sequence[dict]) -> None:
    """Draws the figures of each defence into a directory.

    Args:
        directory: exists.
        rows: of `results.json`.
    """
    with matplotlib.rc_context(figures.STYLE):
        for variant in dict.fromkeys(row["variant"] for row in rows):
            own = [row for row in rows if row["variant"] == variant]
            figures.save(asr(own), directory / f"asr_{variant}.png")
            figures.save(distances(own), directory / f"distances_{variant}.png")


def asr(rows: Sequence[dict]) -> matplotlib.figure.Figure:
    """Attack success rate over kappa, a curve for each attacker, a panel for each attack."""
    series = figures.by_attack(rows)
    columns = min(len(series), 3)
    figure, axes = figures.panels(-(-len(series) // columns), columns, 2.7, 2.5, True)
    for axis, (title, points) in zip(axes, series.items()):
        curves = by_attacker(points)
        for index, (name, of) in enumerate(curves.items()):
            shown = [
                {
                    **row,
                    **{
                        key: row[f"defended_{key}"]
                        for key in ("asr", "asr_low", "asr_high")
                    },
                }
                for row in of
            ]
            figures.asr_curve(axis, shown, name, index, len(curves))
        figures.name_axis(axis, points)
        axis.set(title=title, ylim=(-0.03, 1.03))
    figures.finish(figure, axes, len(series), columns, "attack success rate")
    figure.suptitle(_title(rows))
    return figure


def distances(rows: Sequence[dict]) -> matplotlib.figure.Figure:
    """Mean distances over kappa, likewise; a row of panels for each norm."""
    series = figures.by_attack(rows)
    columns = len(series)
    figure, axes = figures.panels(len(NORMS), columns, 2.7, 2.3, sharey=False)
    shown = [(key, name, of) for key, name in NORMS.items() for of in series.items()]
    for axis, (key, name, (title, points)) in zip(axes, shown):
        for line, (label, of) in zip(figures.LINES, by_attacker(points).items()):
            found = [row for row in of if row[f"defended_mean_{key}"] is not None]
            if found:
                figures.curve(axis, found, f"defended_mean_{key}", label, line)
        axis.set(title=title, ylabel=name, ylim=(0, None))
    figures.finish(figure, axes, len(shown), columns, None)
    figure.suptitle(_title(rows))
    return figure


def by_attacker(rows: Sequence[dict]) -> dict[str, list[dict]]:
    """Rows by attacker, in the order in which they stand."""
    found: dict[str, list[dict]] = {}
    for row in rows:
        found.setdefault(attacker(row).title, []).append(row)
    return found


def _title(rows: Sequence[dict]) -> str:
    first = rows[0]
    return (
        f"{first['dataset']}, MagNet {first['variant']}, {first['num_defended']} images"
    )
