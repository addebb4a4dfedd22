"""The report to browse: one HTML file that needs no network.

plotly.js draws its curves; it lies in the file, packed. What else moves is in `report.js`.
"""

import base64
import functools
import gzip
import html
import json
import re
from collections.abc import Mapping, Sequence
from importlib import resources

from eval import report, summary, tables
from eval.figures import DEFENCES
from eval.html_report import gallery
from eval.metrics import wilson_interval
from eval.results import Results

MEASURES = {
    "asr": "attack success rate",
    **{key: f"accuracy, {what}" for key, what in DEFENCES.items()},
}


def page(
    results: Results,
    detected: Sequence[dict],
    made_by: Mapping[str, str],
    heal: gallery.Heal | None = None,
) -> str:
    """The whole file.

    Args:
        results: of an evaluation.
        detected: as from `eval.detection.rows`.
        made_by: what the results come from, {part: description}.
        heal: from images [N, H, W, C] to what each variant's reformer makes of them, by
            name; None where that is not to be shown.
    """
    rows = results.rows()
    examples = gallery.content(results, heal)
    shown, crafted = len(examples["images"]), len(results.crafted)
    data = {"measures": MEASURES, "curves": curves(rows), "gallery": examples}
    parts = {
        "title": html.escape(f"MagNet in the oblivious setting: {results.dataset}"),
        "sentences": _paragraphs(summary.sentences(rows) + report.warnings(results)),
        **_tables(results, detected, made_by),
        "sample": f"{shown} of {len(results.examples.labels)} images, "
        f"{len(examples['cases'])} of {crafted} attacks",
        "data": json.dumps(data, ensure_ascii=False, allow_nan=False).replace(
            "<", "\\u003c"
        ),
        "plotly": packed_plotly(),
        "style": _file("report.css"),
        "script": _file("report.js"),
    }
    return re.sub(r"\{\{ (\w+) \}\}", lambda name: parts[name[1]], _file("report.html"))


def _tables(
    results: Results, detected: Sequence[dict], made_by: Mapping[str, str]
) -> dict[str, str]:
    rows, chance = results.rows(), results.chance()
    drawn = f"{len(results.examples.labels)} drawn with seed {results.seed}"
    made = [["part", "description"], *map(list, made_by.items()), ["images", drawn]]
    return {
        "variants": "\n".join(
            table(lines, f"MagNet {name}")
            for name, grids in summary.grids(rows).items()
            for lines in grids
        ),
        "worst": table(
            tables.lines(results.worst_cases(), report.WORST_CASE),
            "Images that any of the attacks tried gets past the defence",
        ),
        "chance": table(
            tables.lines(chance, report.CHANCE),
            "Several trainings of the same defence, the same examples",
            keys=3,
        ),
        "accuracy": table(
            tables.lines(rows, report.COLUMNS), "Accuracy under attack", keys=3
        ),
        "thresholds": table(thresholds(results), "Clean accuracy and thresholds"),
        "detection": table(
            tables.lines(detected, report.DETECTION),
            "Detection at any threshold",
            keys=4,
        ),
        "made": table(made, "Command, models and settings"),
    }


def curves(rows: Sequence[dict]) -> list[dict]:
    """What is drawn: for each row every measure with its 95 % interval."""
    return [
        {
            "variant": row["variant"],
            "attack": report.attack_title(row),
            "axis": summary.axis_title(row),
            "value": row["value"] or 0.0,
            **{
                key: [
                    round(of, 5)
                    for of in (
                        row[key],
                        *wilson_interval(row[key], row["num_examples"]),
                    )
                ]
                for key in MEASURES
            },
        }
        for row in rows
    ]


def thresholds(results: Results) -> list[list[str]]:
    """The lines of a table: each variant's clean accuracy and its detectors' thresholds."""
    detectors = dict.fromkeys(
        d for of in results.variants.values() for d in of.thresholds
    )
    count = len(next(iter(results.variants.values())).clean.right)
    lines = [
        [
            name,
            tables.percent(of.clean.accuracies(attacked=False).both, count),
            *(tables.number(of.thresholds.get(d), "{:.4g}") for d in detectors),
        ]
        for name, of in results.variants.items()
    ]
    return [["variant", "right on clean test images", *detectors], *lines]


def table(lines: Sequence[Sequence[str]], caption: str, keys: int = 0) -> str:
    """Lines of cells as a table in HTML.

    Args:
        lines: the first is its head.
        caption: says what it shows.
        keys: so many columns, the first ones, tell rows apart: by them it filters, and by
            all columns it sorts. 0: it does neither.

    Returns:
        Nothing where there is no line but the head.
    """
    head, *body = lines
    if not body:
        return ""
    sorts = f' data-keys="{keys}"' if keys else ""
    shown = "".join(f'<th scope="col">{_text(cell)}</th>' for cell in head)
    rows = "\n".join(
        f'<tr><th scope="row">{_text(first)}</th>'
        + "".join(f"<td>{_text(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in body
    )
    return (
        f'<div class="scrolls" tabindex="0" role="region" aria-label="{html.escape(caption)}">'
        f"<table{sorts}><caption>{html.escape(caption)}</caption>"
        f"<thead><tr>{shown}</tr></thead>\n<tbody>{rows}</tbody></table></div>"
    )


@functools.cache
def packed_plotly() -> str:
    """plotly.js in gzip and base64: 2 MB instead of 5."""
    from plotly.offline import get_plotlyjs

    code = get_plotlyjs().encode()
    return base64.b64encode(gzip.compress(code, mtime=0)).decode()


def _paragraphs(texts: Sequence[str]) -> str:
    return "\n".join(f"<p>{_text(text)}</p>" for text in texts)


def _text(text: str) -> str:
    """Text in HTML; of Markdown's signs it knows **these** and `these`.

    [Intervals] are not broken across lines.
    """
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", html.escape(text))
    text = re.sub(r"`(.+?)`", r"<code>\1</code>", text)
    return re.sub(r"(\[[^]]+\])", r'<span class="interval">\1</span>', text)


def _file(name: str) -> str:
    return (resources.files(__name__) / name).read_text(encoding="utf-8")
