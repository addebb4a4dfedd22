"""What a benchmark measured, as a table and a figure."""

import matplotlib
from matplotlib.figure import Figure

from eval.figures import LINES, STYLE
from eval.measurements import CHUNK, RULES


def table(results: dict) -> str:
    """The results as Markdown."""
    lines = [
        "| ms an image and iteration | floor | this project | Foolbox | ART |",
        "|---|---|---|---|---|",
    ]
    for attack, title in (("cw", "C&W"), ("ead", "EAD")):
        if row := results.get(f"iteration {attack}"):
            ms = row["ms"]
            lines.append(
                f"| {title}, {CHUNK} images | {ms['floor']:.3f} | {ms['ours']:.3f} "
                f"({row['ours_over_floor']:.2f} x floor) | {ms['foolbox']:.3f} "
                f"({row['foolbox_over_ours']:.1f} x ours) | {ms['art']:.2f} "
                f"({row['art_over_ours']:.0f} x ours) |"
            )
    lines += [
        "",
        "| whole attack | seconds | success | mean L2 | mean EN | mean L1 |",
        "|---|---|---|---|---|---|",
    ]
    for key, row in results.items():
        if not key.startswith("quality"):
            continue
        _, attack, confidence, contender = key.split()
        of = {rule: row[rule] for rule in RULES[attack] if rule in row}
        success = ", ".join(f"{v['success']:.0%}" for v in of.values())
        cells = [
            f"{of[rule][rule.lower()]:.3f}" if rule in of else ""
            for rule in ("L2", "EN", "L1")
        ]
        lines.append(
            f"| {attack} κ={confidence}, {contender} | {row['seconds']:.1f} | "
            f"{success} | {' | '.join(cells)} |"
        )
    lines += ["", "| sweep | time, of separate calls | largest distance ratio |"]
    lines += ["|---|---|---|"]
    for attack in RULES:
        for row in results.get(f"sweep {attack}", {}).get("rows", ()):
            ratios = [r for values in row["distance_ratio"].values() for r in values]
            lines.append(
                f"| {attack}, {len(row['confidences'])} confidences | "
                f"{row['time_ratio']:.2f} | {max(ratios):.3f} |"
            )
    if memory := results.get("memory"):
        lines += ["", "| EAD, peak memory | GB |", "|---|---|"]
        lines += [f"| {case} | {peak:.2f} |" for case, peak in memory.items()]
    return "\n".join(lines)


def figure(results: dict) -> Figure:
    """Cost over batch size and over the number of confidences."""
    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(7, 2.8))
        left, right = drawn.subplots(1, 2)
        for (attack, title), line in zip((("cw", "C&W"), ("ead", "EAD")), LINES):
            rows = results.get(f"batch size {attack}", {}).get("rows", ())
            sizes = [row["batch_size"] for row in rows]
            left.plot(sizes, [row["ours_ms"] for row in rows], **line, label=title)
            left.plot(
                sizes,
                [row["floor_ms"] for row in rows],
                **{**line, "linestyle": ":", "marker": ""},
                label=f"{title}, floor",
            )
            rows = results.get(f"sweep {attack}", {}).get("rows", ())
            count = [len(row["confidences"]) for row in rows]
            right.plot(count, [row["seconds"] for row in rows], **line, label=title)
            right.plot(
                count,
                [row["seconds_apart"] for row in rows],
                **{**line, "linestyle": ":", "marker": ""},
                label=f"{title}, one by one",
            )
        left.set(
            xscale="log",
            yscale="log",
            xlabel="images in a chunk",
            ylabel="ms an image and iteration",
        )
        right.set(xlabel="confidences in a call", ylabel="seconds, primal-dual search")
        right.set_ylim(0, 1.6 * right.get_ylim()[1])  # the legend's room
        left.legend(), right.legend()
        return drawn
