"""Tables in Markdown that a terminal shows aligned, and how numbers stand in them."""

from collections.abc import Callable, Mapping, Sequence


def table(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells as a table; the first is its head."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = [
        "| "
        + " | ".join(
            text.ljust(width) for text, width in zip(line, widths, strict=True)
        )
        + " |"
        for line in lines
    ]
    shown.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(shown)


def of_rows(rows: Sequence[dict], columns: Mapping[str, Callable[[dict], str]]) -> str:
    """Rows as a table in Markdown; its arguments are those of `lines`."""
    return table(lines(rows, columns))


def lines(
    rows: Sequence[dict], columns: Mapping[str, Callable[[dict], str]]
) -> list[list[str]]:
    """Rows as lines of cells, the first of which is the head.

    Args:
        rows: such as those of `results.json`.
        columns: {head: from a row to its cell}.
    """
    cells = [[cell(row) for cell in columns.values()] for row in rows]
    return [list(columns), *cells]


def percent(value: float | None, count: int) -> str:
    """A share of `count` images: whole percents up to 100 images, else one more digit."""
    return "–" if value is None else f"{100 * value:.{0 if count <= 100 else 1}f} %"


def interval(row: dict) -> str:
    """A row's attack success rate with its interval."""
    count = row["num_examples"]
    low, high = (
        percent(row[key], count).removesuffix(" %") for key in ("asr_low", "asr_high")
    )
    return f"{percent(row['asr'], count)} [{low}, {high}]"


def number(value: float | None, form: str = "{:.3g}") -> str:
    """A number, a dash where there is none."""
    return "–" if value is None else form.format(value)
