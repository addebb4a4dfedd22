"""The figures of an evaluation: labelled, and legible in grey."""

import itertools
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.figure
import numpy as np
from matplotlib.ticker import LogLocator, MaxNLocator

from eval import detection
from eval.grid import CONFIDENCE, Case
from eval.report import attack_title
from eval.results import Results, VariantResults
from eval.summary import axis_title
from magnet_tf import files

STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "0.9",
    "axes.axisbelow": True,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 150,
}
# Dark to light, and told apart by line and marker, so that nothing depends on colour.
LINES = [
    {"color": "#000000", "linestyle": "-", "marker": "o"},
    {"color": "#7a3b9c", "linestyle": "--", "marker": "s"},
    {"color": "#c2482e", "linestyle": "-.", "marker": "^"},
    {"color": "#e0912f", "linestyle": ":", "marker": "D"},
    {"color": "#23629f", "linestyle": "--", "marker": "v"},
    {"color": "#2f8f8a", "linestyle": "-.", "marker": "P"},
    {"color": "#5c9b3b", "linestyle": ":", "marker": "X"},
    {"color": "#8c6d46", "linestyle": "--", "marker": "<"},
    {"color": "#8a8a8a", "linestyle": "-.", "marker": ">"},
]
LEGEND = 5.0  # inches that a legend of four columns needs
DEFENCES = {
    "accuracy_none": "no defence",
    "accuracy_detector": "detectors",
    "accuracy_reformer": "reformer",
    "accuracy_both": "both",
}


def write(directory: Path, results: Results) -> None:
    """Draws every figure into a directory.

    Args:
        directory: exists.
        results: of an evaluation.
    """
    rows = results.rows()
    with matplotlib.rc_context(STYLE):
        save(asr(rows), directory / "asr.png")
        save(examples(results), directory / "examples.png")
        for name, variant in results.variants.items():
            own = [row for row in rows if row["variant"] == name]
            save(accuracy(own), directory / f"accuracy_{name}.png")
            if variant.thresholds:
                save(marks_above(name, variant), directory / f"marks_{name}.png")
                save(roc(name, results), directory / f"roc_{name}.png")


def accuracy(rows: Sequence[dict]) -> matplotlib.figure.Figure:
    """Accuracy over kappa, four curves, a panel for each attack: the original's figure."""
    series = by_attack(rows)
    columns = min(len(series), 5 if len(series) == 5 else 3)
    height = -(-len(series) // columns)
    figure, axes = panels(height, columns, width=2.5, height=2.3, sharey=True)
    for axis, (title, points) in zip(axes, series.items()):
        for (key, label), line in zip(DEFENCES.items(), LINES):
            curve(axis, points, key, label, line)
        axis.set(title=textwrap.fill(title, 26), ylim=(-0.03, 1.03))
    finish(figure, axes, len(series), columns, "accuracy")
    figure.suptitle(f"{rows[0]['dataset']}, MagNet {rows[0]['variant']}")
    return figure


def asr(rows: Sequence[dict]) -> matplotlib.figure.Figure:
    """Attack success rate against MagNet, a panel for each variant.

    Where attacks are drawn over other things than kappa, a row of panels, one for each.
    """
    titles = list(by_attack(rows))
    shown: dict[tuple, list[dict]] = {}
    for row in rows:
        shown.setdefault((row["variant"], axis_title(row)), []).append(row)
    over = len({axis for _, axis in shown})
    columns = over if over > 1 else min(len(shown), 2)
    figure, axes = panels(-(-len(shown) // columns), columns, 3.4, 2.8, sharey=True)
    for axis, ((variant, _), own) in zip(axes, shown.items()):
        for title, points in by_attack(own).items():
            asr_curve(axis, points, title, titles.index(title), len(titles))
        name_axis(axis, own)
        axis.set(title=f"MagNet {variant}", ylim=(-0.03, 1.03))
    finish(figure, axes, len(shown), columns, "attack success rate")
    figure.suptitle(f"{rows[0]['dataset']}, {rows[0]['num_examples']} images")
    return figure


def examples(results: Results, count: int = 8) -> matplotlib.figure.Figure:
    """Some images, the adversarial examples made of them, and what was added."""
    middle, where = _middle(results.crafted)
    images = results.examples.images
    shown = {case.title: results.crafted[case] for case in middle}
    count = min(count, len(images))
    heights = 1 + 2 * len(shown)
    figure, axes = panels(heights, count, 0.62, 0.62, sharey=False)
    grid = np.reshape(axes, (heights, count))
    largest = max(result.linf[:count].max() for result in shown.values()) or 1
    for column in range(count):
        _image(grid[0, column], images[column])
        for index, result in enumerate(shown.values()):
            adversarial = result.adversarial[column]
            change = (adversarial - images[column]) / (2 * largest) + 0.5
            _image(grid[1 + 2 * index, column], adversarial)
            _image(grid[2 + 2 * index, column], change)
            if not result.success[column]:
                grid[1 + 2 * index, column].set_title("failed", fontsize=6, pad=1)
    labels = ["clean"]
    for title in shown:
        labels += [title, "change"]
    for axis, label in zip(grid[:, 0], labels):
        axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=7)
    figure.suptitle(
        f"{where + '; ' if where else ''}changes from -{largest:.2f} (black) to {largest:.2f} (white)",
        fontsize=8,
    )
    return figure


def marks_above(name: str, variant: VariantResults) -> matplotlib.figure.Figure:
    """Each detector's marks, clean against adversarial, with the threshold.

    The curves give the share of images whose mark is at least x: where one meets the
    threshold, it gives the share that the detector rejects.

    Args:
        name: of the variant.
        variant: has a detector.
    """
    thresholds, (shown, where) = variant.thresholds, _middle(variant.attacked)
    series = {case.title: variant.attacked[case].marks for case in _ordered(shown)}
    columns = min(len(thresholds), 2)
    figure, axes = panels(
        -(-len(thresholds) // columns), columns, 3.4, 2.4, sharey=True
    )
    for axis, (detector, threshold) in zip(axes, thresholds.items(), strict=False):
        clean = np.sort(variant.clean.marks[detector])
        axis.fill_between(
            clean,
            np.linspace(1, 0, len(clean)),
            color="0.85",
            label="clean test images",
        )
        for line, (label, by_detector) in zip(
            itertools.cycle(LINES), series.items(), strict=False
        ):
            own = np.sort(by_detector[detector])
            style = {**line, "markersize": 3.5, "markevery": 0.2, "linewidth": 1.3}
            axis.plot(own, np.linspace(1, 0, len(own)), label=label, **style)
        axis.axvline(threshold, color="black", linewidth=2, label="threshold")
        drawn = np.concatenate([clean, *(own[detector] for own in series.values())])
        low, high = np.quantile(drawn, 0.001), drawn.max() * 1.2
        if low > 0 and drawn.max() > 30 * np.quantile(drawn, 0.01):
            steps = (1, 3) if high / low < 1e3 else (1,)
            axis.set(xscale="log", xlim=(low, high))
            axis.xaxis.set_major_locator(LogLocator(subs=steps, numticks=6))
            axis.xaxis.set_major_formatter("{x:g}")
            axis.xaxis.set_minor_formatter("")
        else:
            axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.set(title=f"detector {detector}", xlabel="mark", ylim=(0, 1.03))
    finish(figure, axes, len(thresholds), columns, "share marked so or higher", None)
    figure.suptitle(", ".join(filter(None, [f"MagNet {name}", where])))
    return figure


def roc(name: str, results: Results) -> matplotlib.figure.Figure:
    """ROC curves of each detector and of all together, a curve for each attack.

    Args:
        name: of a variant that has a detector.
        results: of an evaluation.
    """
    variant, (middle, where) = results.variants[name], _middle(results.crafted)
    clean = detection.with_together(variant.clean.marks, variant.clean.marks)
    columns = 3
    figure, axes = panels(-(-len(clean) // columns), columns, 2.5, 2.5, sharey=True)
    for axis, (detector, negatives) in zip(axes, clean.items(), strict=False):
        for line, case in zip(itertools.cycle(LINES), _ordered(middle), strict=False):
            marks = detection.with_together(
                variant.attacked[case].marks, variant.clean.marks
            )
            fooled = marks[detector][results.crafted[case].success]
            if len(fooled):
                rates = detection.roc(negatives, fooled)
                style = {**line, "markersize": 3.5, "markevery": 0.2, "linewidth": 1.3}
                axis.plot(*rates, label=case.title, **style)
        axis.axline((0, 0), slope=1, color="0.8", linewidth=0.8)
        title = (
            "all detectors"
            if detector == detection.TOGETHER
            else f"detector {detector}"
        )
        axis.set(title=title, xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    ylabel, xlabel = "adversarial rejected", "clean rejected"
    finish(figure, axes, len(clean), columns, ylabel, xlabel)
    figure.suptitle(", ".join(filter(None, [f"MagNet {name}", where])))
    return figure


def _middle(cases: Iterable[Case]) -> tuple[list[Case], str]:
    """The cases that figures of a single setting show, in their order, and that setting."""
    values: dict[str, set[float]] = {}
    for case in (cases := list(cases)):
        values.setdefault(case.run.attack, set()).add(case.run.confidence)
    middle = {attack: sorted(of)[len(of) // 2] for attack, of in values.items()}
    shown = [case for case in cases if case.run.confidence == middle[case.run.attack]]
    settings = dict.fromkeys(case.run.setting for case in shown)
    return shown, ", ".join(filter(None, settings))


def _ordered(cases: Iterable[Case]) -> list[Case]:
    """By beta and rule."""
    return sorted(cases, key=lambda case: (case.run.beta or 0, case.rule))


def by_attack(rows: Sequence[dict]) -> dict[str, list[dict]]:
    """Rows by attack, rule and beta, each by rising confidence or what takes its place."""
    series: dict[str, list[dict]] = {}
    for row in sorted(rows, key=lambda row: row["value"] or 0):
        series.setdefault(attack_title(row), []).append(row)
    order = dict.fromkeys(attack_title(row) for row in rows)
    return {title: series[title] for title in order}


def asr_curve(axis, points: Sequence[dict], label: str, index: int, count: int) -> None:
    """A curve with its intervals, set off a little so that those of several show."""
    confidences = np.array([row["value"] or 0 for row in points])
    spacing = np.ptp(confidences) / max(1, len(points) - 1) or 1.0
    rate = np.array([row["asr"] for row in points])
    low = rate - [row["asr_low"] for row in points]
    high = [row["asr_high"] for row in points] - rate
    axis.errorbar(
        confidences + (index - (count - 1) / 2) * 0.03 * spacing,
        rate,
        yerr=np.maximum([low, high], 0),
        label=label,
        markersize=4,
        linewidth=1.3,
        elinewidth=0.7,
        capsize=1.5,
        **LINES[index % len(LINES)],
    )


def curve(axis, points: Sequence[dict], key: str, label: str, line: dict) -> None:
    """A key of rows over kappa."""
    axis.plot(
        [row["value"] or 0 for row in points],
        [row[key] for row in points],
        label=label,
        markersize=4,
        linewidth=1.3,
        **line,
    )
    name_axis(axis, points)


def name_axis(axis, points: Sequence[dict]) -> None:
    """Ticks at the values of rows, and what they are of where it is not the confidence."""
    values = sorted({row["value"] for row in points if row["parameter"]})
    labels, last, shown, inches = [], -np.inf, "", axis.bbox.width / axis.figure.dpi
    for value in values:  # of two labels that would touch the first is shown
        label = f"{value:g}"
        near = np.ptp(values) * 0.035 * len(shown + label) / inches
        labels.append(label if value - last >= near else "")
        last, shown = (value, label) if labels[-1] else (last, shown)
    axis.set_xticks(values, labels)
    if points[0]["parameter"] != CONFIDENCE:
        axis.set_xlabel(axis_title(points[0]) or " ")


def panels(rows: int, columns: int, width: float, height: float, sharey: bool):
    """A figure and its axes, row by row; width and height of one are in inches."""
    across = max(columns * width + 0.9, LEGEND)
    figure = matplotlib.figure.Figure(figsize=(across, rows * height + 0.9))
    axes = figure.subplots(rows, columns, squeeze=False, sharey=sharey)
    return figure, axes.ravel()


def finish(
    figure,
    axes,
    used: int,
    columns: int,
    ylabel: str | None,
    xlabel: str | None = "confidence κ",
) -> None:
    """Labels the axes, hides unused panels, and puts one legend below them all.

    A panel above another that is drawn over the same leaves the label of x to that one.
    """
    if xlabel:
        for axis, below in itertools.zip_longest(axes[:used], axes[columns:used]):
            if below is None or below.get_xlabel() != axis.get_xlabel():
                axis.set_xlabel(axis.get_xlabel() or xlabel)
    if ylabel:
        for axis in axes[::columns]:
            axis.set_ylabel(ylabel)
    for axis in axes[used:]:
        axis.set_visible(False)
    by_label = {
        label: handle
        for axis in axes[:used]
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    for ncols in (4, 3, 2, 1):  # as many as fit
        style = {"loc": "outside lower center", "ncols": ncols, "fontsize": 8}
        legend = figure.legend(by_label.values(), by_label, **style)
        if ncols == 1 or legend.get_window_extent().width <= figure.bbox.width:
            break
        legend.remove()


def _image(axis, image: np.ndarray) -> None:
    axis.imshow(np.clip(image, 0, 1).squeeze(), cmap="gray", vmin=0, vmax=1)
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set_visible(False)


def save(figure: matplotlib.figure.Figure, path: Path) -> None:
    """Writes a figure whole."""
    files.write(path, lambda to: figure.savefig(to, metadata={"Software": None}))
