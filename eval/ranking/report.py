"""What a ranking measured, as tables and a figure."""

from collections.abc import Mapping
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from eval import tables
from eval.figures import LINES, STYLE
from eval.ranking.contenders import CONTENDERS
from eval.ranking.measurements import Name
from eval.ranking.models import MODELS
from eval.ranking.optimality import envelope, optimality

NORMS = ("L1", "L2")


class Point(NamedTuple):
    """An attack with a budget.

    Attributes:
        contender, gradients: which.
        optimality: in [0, 1].
        success: the share of images that it found an example for.
        median: distance, failures being infinite.
        forward, backward: passes for an image.
    """

    contender: str
    gradients: int
    optimality: float
    success: float
    median: float
    forward: float
    backward: float


def points(results: Mapping[str, dict], model: str, norm: str) -> list[Point]:
    """All that was measured on a model by a norm; the envelope is over all of it."""
    of = {
        name: row
        for name, row in ((Name.of(key), row) for key, row in results.items())
        if name.model == model and CONTENDERS[name.contender].norm == norm
    }
    if not of:
        return []
    distances = np.array(
        [[np.inf if d is None else d for d in row["distances"]] for row in of.values()]
    )
    nearest = envelope(distances)
    return [
        Point(
            name.contender,
            name.gradients,
            optimality(own, nearest),
            float(np.isfinite(own).mean()),
            _median(own),
            row["forward"],
            row["backward"],
        )
        for (name, row), own in zip(of.items(), distances)
    ]


def _median(distances: np.ndarray) -> float:
    """As NumPy's, which makes NaN of two infinities."""
    middle = np.sort(distances)[[(len(distances) - 1) // 2, len(distances) // 2]]
    return float(middle[0]) if middle[0] == middle[1] else float(middle.mean())


def table(results: Mapping[str, dict]) -> str:
    """The results as Markdown, a table for each norm: optimality, success, median distance."""
    budgets = sorted({Name.of(key).gradients for key in results})
    head = [
        "attack",
        "model",
        *(f"{budget:,} gradients" for budget in budgets),
        "passes forward + backward, at most",
    ]
    parts = []
    for norm in NORMS:
        lines = [
            line
            for key, contender in CONTENDERS.items()
            if contender.norm == norm
            for model in MODELS
            if (line := _line(points(results, model, norm), key, model, budgets))
        ]
        if lines:
            parts.append(
                f"{norm}: optimality (success, median distance)\n\n"
                + tables.table([head, *lines])
            )
    return "\n\n".join(parts)


def _line(
    measured: list[Point], contender: str, model: str, budgets: list[int]
) -> list[str]:
    of = {point.gradients: point for point in measured if point.contender == contender}
    if not of:
        return []
    best = {
        budget: max(p.optimality for p in measured if p.gradients == budget)
        for budget in budgets
        if any(p.gradients == budget for p in measured)
    }
    cells = []
    for budget in budgets:
        if point := of.get(budget):
            text = f"{point.optimality:.3f}"
            text = f"**{text}**" if point.optimality == best[budget] else text
            cells.append(f"{text} ({point.success:.0%}, {point.median:.3g})")
        else:
            cells.append("–")
    last = of[max(of)]
    return [
        CONTENDERS[contender].title,
        MODELS[model].title,
        *cells,
        f"{last.forward:,.0f} + {last.backward:,.0f}",
    ]


def figure(results: Mapping[str, dict]) -> Figure:
    """Optimality over propagations, a panel for each norm and model."""
    shown = [name for name in MODELS if any(Name.of(k).model == name for k in results)]
    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(1.4 + 2.4 * len(shown), 5.6))
        axes = drawn.subplots(2, len(shown), squeeze=False, sharex=True)
        for row, norm in zip(axes, NORMS):
            own = [key for key, of in CONTENDERS.items() if of.norm == norm]
            for axis, model in zip(row, shown):
                measured = points(results, model, norm)
                for key, line in zip(own, LINES):
                    of = [point for point in measured if point.contender == key]
                    axis.plot(
                        [point.forward + point.backward for point in of],
                        [point.optimality for point in of],
                        **line,
                        label=CONTENDERS[key].title,
                    )
                axis.set(xscale="log", ylim=(-0.03, 1.03), title=MODELS[model].title)
                axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 4)))
                axis.xaxis.set_major_formatter("{x:,.0f}")
                axis.xaxis.set_minor_formatter("")
            row[0].set_ylabel(f"optimality, {norm}")
            row[-1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
        for axis in axes[-1]:
            axis.set_xlabel("propagations an image")
        return drawn
