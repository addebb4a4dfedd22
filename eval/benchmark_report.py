"""What a benchmark measured, as a table and a figure."""

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from attacks.search import SMALLEST_CHUNK
from eval import tables
from eval.figures import LINES, STYLE
from eval.measurements import CHUNK, NORMS, RULES

TITLES = {"cw": "C&W", "ead": "EAD"}


def table(results: dict) -> str:
    """The results as Markdown, a table for each kind of measurement."""
    parts = (_iterations, _batches, _whole_attacks, _sweeps, _memory)
    return "\n\n".join(text for part in parts if (text := part(results)))


def _iterations(results: dict) -> str:
    lines = []
    for attack, title in TITLES.items():
        if row := results.get(f"iteration {attack}"):
            ms = row["ms"]
            lines.append(
                [
                    f"{title}, {CHUNK} images",
                    f"{ms['floor']:.3f}",
                    f"{ms['ours']:.3f} ({row['ours_over_floor']:.2f} x floor)",
                    f"{ms['foolbox']:.3f} ({row['foolbox_over_ours']:.1f} x ours)",
                    f"{ms['art']:.2f} ({row['art_over_ours']:.0f} x ours)",
                ]
            )
    head = ["ms an image and iteration", "floor", "this project", "Foolbox", "ART"]
    return tables.table([head, *lines]) if lines else ""


def _batches(results: dict) -> str:
    lines = []
    for attack, title in TITLES.items():
        for row in results.get(f"batch size {attack}", {}).get("rows", ()):
            size = row["batch_size"]
            filled = (
                f" (filled up to {SMALLEST_CHUNK})" if size < SMALLEST_CHUNK else ""
            )
            times = [f"{row[key]:.3f}" for key in ("floor_ms", "ours_ms")]
            lines.append([f"{title}, {size}{filled}", *times])
    head = ["images in a chunk: ms an image and iteration", "floor", "this project"]
    return tables.table([head, *lines]) if lines else ""


def _whole_attacks(results: dict) -> str:
    lines = []
    for key, row in results.items():
        if not key.startswith("quality"):
            continue
        _, attack, confidence, contender = key.split()
        of = {rule: row[rule] for rule in RULES[attack] if rule in row}
        means = [
            f"{of[rule][rule.lower()]:.3f}" if rule in of else ""
            for rule in ("L2", "EN", "L1")
        ]
        success = ", ".join(f"{v['success']:.0%}" for v in of.values())
        title = f"{attack} κ={confidence}, {contender}"
        lines.append([title, f"{row['seconds']:.1f}", success, *means])
    head = ["whole attack", "seconds", "success", "mean L2", "mean EN", "mean L1"]
    return tables.table([head, *lines]) if lines else ""


def _sweeps(results: dict) -> str:
    lines = []
    for norm in NORMS:
        for row in results.get(f"sweep {norm}", {}).get("rows", ()):
            title = f"{norm}, {len(row['confidences'])} confidences"
            largest = max(row["distance_ratio"])
            lines.append([title, f"{row['time_ratio']:.2f}", f"{largest:.3f}"])
    head = ["minimum_norm, sweep", "time, of separate calls", "largest distance ratio"]
    return tables.table([head, *lines]) if lines else ""


def _memory(results: dict) -> str:
    lines = [[case, f"{peak:.2f}"] for case, peak in results.get("memory", {}).items()]
    return tables.table([["EAD, peak memory", "GB"], *lines]) if lines else ""


def figure(results: dict) -> Figure:
    """Cost over batch size and over the number of confidences."""
    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(7, 2.8))
        left, right = drawn.subplots(1, 2)
        left.set(xscale="log", yscale="log")  # before the ticks, which it would move
        for (attack, title), line in zip(TITLES.items(), LINES):
            rows = results.get(f"batch size {attack}", {}).get("rows", ())
            sizes = [row["batch_size"] for row in rows]
            left.plot(sizes, [row["ours_ms"] for row in rows], **line, label=title)
            left.plot(
                sizes,
                [row["floor_ms"] for row in rows],
                **{**line, "linestyle": ":", "marker": ""},
                label=f"{title}, floor",
            )
            if sizes:
                left.set_xticks(sizes, sizes)
        for norm, line in zip(NORMS, LINES):
            rows = results.get(f"sweep {norm}", {}).get("rows", ())
            count = [len(row["confidences"]) for row in rows]
            right.plot(count, [row["seconds"] for row in rows], **line, label=norm)
            right.plot(
                count,
                [row["seconds_apart"] for row in rows],
                **{**line, "linestyle": ":", "marker": ""},
                label=f"{norm}, one by one",
            )
            if count:
                right.set_xticks(count)
        left.set(
            xlabel=f"images in a chunk, filled up to {SMALLEST_CHUNK}",
            ylabel="ms an image and iteration",
        )
        left.minorticks_off()
        left.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        left.yaxis.set_major_formatter("{x:g}")
        right.set(xlabel="confidences in a call", ylabel="seconds, minimum_norm")
        right.set_ylim(0, 1.6 * right.get_ylim()[1])  # the legend's room
        left.legend(), right.legend()
        return drawn
