"""What an evaluation's rows say, in three sentences and a small table for each variant."""

from collections.abc import Sequence

from eval.grid import ATTACKS, title
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
    kappas = ", ".join(f"{k:g}" for k in sorted({row["confidence"] for row in rows}))
    names = []
    for attack in dict.fromkeys(row["attack"] for row in rows):
        betas = sorted(
            {row["beta"] for row in rows if row["attack"] == attack} - {None}
        )
        of = f" (β {', '.join(f'{beta:g}' for beta in betas)})" if betas else ""
        names.append(f"{ATTACKS[attack].title}{of}")
    least = min(row["success_undefended"] for row in rows)
    reach = "all" if least == 1 else f"at least {percent(least, first['num_examples'])}"
    return (
        f"{first['num_examples']} test images of {first['dataset']} that the undefended "
        f"classifier gets right (as {first['clean_accuracy_none']:.1%} of all) were attacked "
        f"by {' and '.join(names)} at κ = {kappas}; it was fooled on {reach} of them."
    )


def got_past(rows: Sequence[dict]) -> str:
    """The best case of each attack against each variant, with its interval."""
    parts = []
    for variant in dict.fromkeys(row["variant"] for row in rows):
        bests = [
            f"{ATTACKS[attack].title} {interval(row)} at "
            + (f"κ {row['confidence']:g}" if row["asr"] else "any κ")
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
    return {variant: table(lines) for variant, lines in grids(rows).items()}


def grids(rows: Sequence[dict]) -> dict[str, list[list[str]]]:
    """For each variant the lines of its table, the first of which is its head."""
    found = {}
    for variant in dict.fromkeys(row["variant"] for row in rows):
        own = [row for row in rows if row["variant"] == variant]
        kappas = sorted({row["confidence"] for row in own})
        by_title: dict[str, dict[float, dict]] = {}
        for row in own:
            name = title(row["attack"], row["rule"], row["beta"])
            by_title.setdefault(name, {})[row["confidence"]] = row
        lines = [
            [name, *(interval(of[kappa]) if kappa in of else "–" for kappa in kappas)]
            for name, of in by_title.items()
        ]
        head = ["ASR [95 %]", *(f"κ = {kappa:g}" for kappa in kappas)]
        found[variant] = [head, *lines]
    return found


def _and(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
