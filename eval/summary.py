"""What an evaluation's rows say, in three sentences and a small table for each variant."""

from collections.abc import Collection, Mapping, Sequence

from eval.grid import ATTACKS, CONFIDENCE, at, symbol, title
from eval.tables import interval, percent, table

L1_ATTACK, L2_ATTACK = "ead", "cw"


def sentences(rows: Sequence[dict]) -> list[str]:
    """What was attacked, what got past which defence, and whether the L1 attack did better.

    Args:
        rows: of `results.json`, at least one.
    """
    found = [attacked(rows), got_past(rows)]
    if {L1_ATTACK, L2_ATTACK} <= {row["attack"] for row in rows}:
        found.append(compared(rows))
    return found


def attacked(rows: Sequence[dict]) -> str:
    """What was attacked, with what, and how often it fooled the undefended classifier."""
    first = rows[0]
    least = min(row["success_undefended"] for row in rows)
    reach = "all" if least == 1 else f"at least {percent(least, first['num_examples'])}"
    return (
        f"{first['num_examples']} test images of {first['dataset']} that the undefended "
        f"classifier gets right (as {first['clean_accuracy_none']:.1%} of all) were attacked "
        f"by {attacks_and_values(rows)}; it was fooled on {reach} of them."
    )


def attacks_and_values(rows: Sequence[dict]) -> str:
    """The attacks, with their betas, and the values of what their runs differ in."""
    by_axis: dict[str, list[str]] = {}
    for attack in dict.fromkeys(row["attack"] for row in rows):
        own = [row for row in rows if row["attack"] == attack]
        betas = _numbers({row["beta"] for row in own} - {None})
        values = _numbers({row["value"] for row in own} - {None})
        axis = f" at {symbol(own[0]['parameter'])} = {values}" if values else ""
        name = ATTACKS[attack].title + (f" (β {betas})" if betas else "")
        by_axis.setdefault(axis, []).append(name)
    return ", and ".join(f"{' and '.join(of)}{axis}" for axis, of in by_axis.items())


def got_past(rows: Sequence[dict]) -> str:
    """The best case of each attack against each variant, with its interval."""
    parts = []
    for variant in dict.fromkeys(row["variant"] for row in rows):
        bests = [
            f"{ATTACKS[attack].title} {interval(row)}{where(row)}"
            for attack, row in best_of_each(rows, variant).items()
        ]
        parts.append(f"{variant}: {', '.join(bests)}")
    return f"What got past MagNet at best [95 % interval]: {'; '.join(parts)}."


def compared(rows: Sequence[dict]) -> str:
    """Whether the L1 attack's best case is ahead of the L2 attack's, beyond chance."""
    said: dict[str, list[str]] = {}
    for variant in dict.fromkeys(row["variant"] for row in rows):
        best = best_of_each(rows, variant)
        one, two = best[L1_ATTACK], best[L2_ATTACK]
        if one["asr_low"] > two["asr_high"]:
            verdict = "EAD did better than C&W against"
        elif two["asr_low"] > one["asr_high"]:
            verdict = "C&W did better than EAD against"
        else:
            verdict = "these images do not tell EAD and C&W apart against"
        said.setdefault(verdict, []).append(variant)
    text = "; ".join(f"{verdict} {_and(names)}" for verdict, names in said.items())
    return f"{text[0].upper()}{text[1:]}."


def best_of_each(rows: Sequence[dict], variant: str) -> dict[str, dict]:
    """Of each attack the row that gets past a variant most often."""
    best: dict[str, dict] = {}
    for row in rows:
        if row["variant"] == variant:
            known = best.get(row["attack"])
            if known is None or row["asr"] > known["asr"]:
                best[row["attack"]] = row
    return best


def tables(rows: Sequence[dict]) -> dict[str, str]:
    """For each variant the attack success rates, kappa across, in Markdown."""
    return {variant: "\n\n".join(map(table, of)) for variant, of in grids(rows).items()}


def grids(rows: Sequence[dict]) -> dict[str, list[list[list[str]]]]:
    """For each variant its tables, one for each axis of its attacks.

    A table is its lines, the first of which is its head.
    """
    found: dict[str, list[list[list[str]]]] = {}
    for variant in dict.fromkeys(row["variant"] for row in rows):
        own = [row for row in rows if row["variant"] == variant]
        found[variant] = [
            _grid([row for row in own if axis_title(row) == axis])
            for axis in dict.fromkeys(map(axis_title, own))
        ]
    return found


def _grid(rows: Sequence[dict]) -> list[list[str]]:
    """Attack by attack the success rates over what the attacks differ in."""
    parameter = rows[0]["parameter"]
    values = sorted({row["value"] for row in rows}) if parameter else [None]
    by_title: dict[str, dict[float | None, dict]] = {}
    for row in rows:
        name = title(row["attack"], row["rule"], row["beta"])
        by_title.setdefault(name, {})[row["value"]] = row
    lines = [
        [name, *(interval(of[value]) if value in of else "–" for value in values)]
        for name, of in by_title.items()
    ]
    head = ["ASR [95 %]", *(at(parameter, value) for value in values)]
    return [head, *lines]


def axis_title(row: Mapping) -> str:
    """What a row is drawn over, such as "κ" or "epsilon (Linf)"; empty where it has no axis.

    Bounds by different norms are different axes.
    """
    name = symbol(row["parameter"])
    return name if row["parameter"] in (None, CONFIDENCE) else f"{name} ({row['rule']})"


def where(row: Mapping) -> str:
    """At which value of its axis a best row is; a rate of 0 is at any."""
    name = symbol(row["parameter"])
    if not name:
        return ""
    return f" at {name} {row['value']:g}" if row["asr"] else f" at any {name}"


def _numbers(values: Collection[float]) -> str:
    return ", ".join(f"{value:g}" for value in sorted(values))


def _and(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
