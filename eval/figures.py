"""The figures of an evaluation: labelled, and legible in grey."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import matplotlib.figure
import numpy as np

from attacks import AttackResult
from eval.grid import Run
from eval.report import attack_title

STYLE = {
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
DEFENCES = {
    "accuracy_none": "no defence",
    "accuracy_detector": "detectors",
    "accuracy_reformer": "reformer",
    "accuracy_both": "both",
}


def write(
    directory: Path,
    rows: Sequence[dict],
    marks: dict,
    crafted: dict[Run, dict[str, AttackResult]],
    images: np.ndarray,
) -> None:
    """Draws every figure into a directory.

    Args:
        directory: exists.
        rows: of `results.json`.
        marks: as from `Evaluation.judge`.
        crafted: as from `Evaluation.craft`.
        images: what was attacked, [N, H, W, C] in [0, 1].
    """
    with matplotlib.rc_context(STYLE):
        _save(asr(rows), directory / "asr.png")
        _save(examples(crafted, images), directory / "examples.png")
        for variant in marks:
            own = [row for row in rows if row["variant"] == variant]
            _save(accuracy(own), directory / f"accuracy_{variant}.png")
            _save(
                mark_histograms(variant, marks[variant]),
                directory / f"marks_{variant}.png",
            )


def accuracy(rows: Sequence[dict]) -> matplotlib.figure.Figure:
    """Accuracy over kappa, four curves, a panel for each attack: the original's figure."""
    series = _by_attack(rows)
    columns = min(len(series), 5 if len(series) == 5 else 3)
    height = -(-len(series) // columns)
    figure, axes = _panels(height, columns, width=2.5, height=2.3, sharey=True)
    for axis, (title, points) in zip(axes, series.items()):
        for (key, label), line in zip(DEFENCES.items(), LINES):
            _curve(axis, points, key, label, line)
        axis.set(title=title, ylim=(-0.03, 1.03))
    _finish(figure, axes, len(series), columns, "accuracy")
    figure.suptitle(f"{rows[0]['dataset']}, MagNet {rows[0]['variant']}")
    return figure


def asr(rows: Sequence[dict]) -> matplotlib.figure.Figure:
    """Attack success rate against MagNet over kappa, a panel for each variant."""
    variants = list(dict.fromkeys(row["variant"] for row in rows))
    columns = min(len(variants), 2)
    figure, axes = _panels(-(-len(variants) // columns), columns, 3.4, 2.8, sharey=True)
    for axis, variant in zip(axes, variants):
        own = [row for row in rows if row["variant"] == variant]
        for line, (title, points) in zip(LINES, _by_attack(own).items()):
            _curve(axis, points, "asr", title, line)
            axis.fill_between(
                [row["confidence"] for row in points],
                [row["asr_low"] for row in points],
                [row["asr_high"] for row in points],
                color=line["color"],
                alpha=0.08,
                linewidth=0,
            )
        axis.set(title=f"MagNet {variant}", ylim=(-0.03, 1.03))
    _finish(figure, axes, len(variants), columns, "attack success rate")
    figure.suptitle(f"{rows[0]['dataset']}, {rows[0]['num_examples']} images")
    return figure


def examples(
    crafted: dict[Run, dict[str, AttackResult]], images: np.ndarray, count: int = 8
) -> matplotlib.figure.Figure:
    """Some images, the adversarial examples made of them, and what was added."""
    confidences = sorted({run.confidence for run in crafted})
    confidence = confidences[len(confidences) // 2]
    results = {
        _series_title(run, rule): result
        for run, rules in crafted.items()
        if run.confidence == confidence
        for rule, result in rules.items()
    }
    count = min(count, len(images))
    heights = 1 + 2 * len(results)
    figure, axes = _panels(heights, count, 0.62, 0.62, sharey=False)
    grid = np.reshape(axes, (heights, count))
    largest = max(result.linf[:count].max() for result in results.values()) or 1
    for column in range(count):
        _image(grid[0, column], images[column])
        for index, result in enumerate(results.values()):
            adversarial = result.adversarial[column]
            change = (adversarial - images[column]) / (2 * largest) + 0.5
            _image(grid[1 + 2 * index, column], adversarial)
            _image(grid[2 + 2 * index, column], change)
            if not result.success[column]:
                grid[1 + 2 * index, column].set_title("failed", fontsize=6, pad=1)
    labels = ["clean"]
    for title in results:
        labels += [title, "change"]
    for axis, label in zip(grid[:, 0], labels):
        axis.set_ylabel(label, rotation=0, ha="right", va="center", fontsize=7)
    figure.suptitle(
        f"κ = {confidence:g}; changes from -{largest:.2f} (black) to {largest:.2f} (white)",
        fontsize=8,
    )
    return figure


def mark_histograms(variant: str, marks: dict) -> matplotlib.figure.Figure:
    """Each detector's marks, clean against adversarial, with the threshold."""
    thresholds = marks["thresholds"]
    sets = {"clean test images": marks["clean"]}
    confidences = sorted({key[0].confidence for key in marks if isinstance(key, tuple)})
    confidence = confidences[len(confidences) // 2]
    for run, rule in (key for key in marks if isinstance(key, tuple)):
        if run.confidence == confidence:
            sets[_series_title(run, rule)] = marks[run, rule]
    columns = min(len(thresholds), 2)
    figure, axes = _panels(
        -(-len(thresholds) // columns), columns, 3.6, 2.5, sharey=False
    )
    for axis, (detector, threshold) in zip(axes, thresholds.items()):
        values = np.concatenate(
            [by_detector[detector] for by_detector in sets.values()]
        )
        values = np.append(values[values > 0], threshold)
        edges = np.geomspace(
            max(values.min(), values.max() * 1e-6), values.max() * 1.05, 40
        )
        for index, (label, by_detector) in enumerate(sets.items()):
            own = by_detector[detector]
            style = {
                "bins": edges, "weights": np.full(len(own), 1 / len(own)), "label": label
            }
            clipped = np.maximum(own, edges[0])
            if index == 0:
                axis.hist(clipped, color="0.82", **style)
            else:
                line = LINES[index - 1]
                axis.hist(
                    clipped,
                    histtype="step",
                    color=line["color"],
                    linestyle=line["linestyle"],
                    linewidth=1.2,
                    **style,
                )
        axis.axvline(threshold, color="black", linewidth=2.2, label="threshold")
        axis.set(title=f"detector {detector}", xlabel="mark", xscale="log")
    for axis in axes[::columns]:
        axis.set_ylabel("share of images")
    _hide_unused(axes, len(thresholds))
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    figure.suptitle(f"MagNet {variant}, κ = {confidence:g}")
    return figure


def _by_attack(rows: Sequence[dict]) -> dict[str, list[dict]]:
    """Rows by attack, rule and beta, each by rising confidence."""
    series = {}
    for row in sorted(rows, key=lambda row: row["confidence"]):
        series.setdefault(attack_title(row), []).append(row)
    order = dict.fromkeys(attack_title(row) for row in rows)
    return {title: series[title] for title in order}


def _series_title(run: Run, rule: str) -> str:
    return attack_title({"attack": run.attack, "rule": rule, "beta": run.beta})


def _curve(axis, points: Sequence[dict], key: str, label: str, line: dict) -> None:
    axis.plot(
        [row["confidence"] for row in points],
        [row[key] for row in points],
        label=label,
        markersize=4,
        linewidth=1.3,
        **line,
    )


def _panels(rows: int, columns: int, width: float, height: float, sharey: bool):
    figure = matplotlib.figure.Figure(
        figsize=(columns * width + 0.9, rows * height + 0.9)
    )
    axes = figure.subplots(rows, columns, squeeze=False, sharey=sharey)
    return figure, axes.ravel()


def _finish(figure, axes, used: int, columns: int, ylabel: str) -> None:
    """Labels the outer axes, hides unused panels, and puts one legend below them all."""
    for index, axis in enumerate(axes[:used]):
        if index + columns >= used:
            axis.set_xlabel("confidence κ")
    for axis in axes[::columns]:
        axis.set_ylabel(ylabel)
    _hide_unused(axes, used)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8)


def _hide_unused(axes, used: int) -> None:
    for axis in axes[used:]:
        axis.set_visible(False)


def _image(axis, image: np.ndarray) -> None:
    axis.imshow(np.clip(image, 0, 1).squeeze(), cmap="gray", vmin=0, vmax=1)
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set_visible(False)


def _save(figure: matplotlib.figure.Figure, path: Path) -> None:
    figure.savefig(path, metadata={"Software": None})
