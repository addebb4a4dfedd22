"""The report of an adaptive evaluation, in Markdown: the attackers side by side."""

from collections.abc import Callable, Mapping, Sequence

from eval import report, summary
from eval.knowledge.results import AdaptiveResults, Attacker
from eval.tables import interval, number, of_rows, percent, table

KNOWS = {
    "oblivious": "the undefended classifier alone, on which the examples are crafted",
    "gray": (
        "how the defence is made, but not its models: examples are to get past so many "
        "defences of the attacker's own, trained with other seeds, at four times the drop "
        "rates"
    ),
    "white": "the defence's models and thresholds, too: examples are crafted on it",
}


def attacker(row: Mapping) -> Attacker:
    """A row's attacker."""
    return Attacker(row["knowledge"], row["autoencoders"])


def _counted(key: str, count: str) -> Callable[[Mapping], str]:
    """A share of so many images with its interval."""
    keys = {"asr": key, "asr_low": f"{key}_low", "asr_high": f"{key}_high"}

    def cell(row: Mapping) -> str:
        if row[key] is None:
            return "–"
        own = {short: row[long] for short, long in keys.items()}
        return interval({**own, "num_examples": row[count]})

    return cell


defended_asr = _counted("defended_asr", "num_defended")
NAMED = {
    "variant": lambda row: row["variant"],
    "attacker": lambda row: attacker(row).title,
    "attack": report.attack_title,
    "κ": report.setting,
}
WORST_CASE = {
    "variant": NAMED["variant"],
    "attacker": NAMED["attacker"],
    "attacks": lambda row: row["attacks"],
    "tried": lambda row: str(row["num_attacks"]),
    "images": lambda row: str(row["num_examples"]),
    "ASR [95 %]": interval,
}
TARGETED = {
    **NAMED,
    "case": lambda row: row["case"],
    "images": lambda row: str(row["num_examples"]),
    "ASR [95 %]": _counted("asr", "num_examples"),
    "L1": lambda row: number(row["mean_l1"]),
    "L2": lambda row: number(row["mean_l2"]),
    "L∞": lambda row: number(row["mean_linf"]),
}
EVERYTHING = {
    **NAMED,
    "found": lambda row: percent(row["success_crafting"], row["num_examples"]),
    **{
        key: of
        for key, of in report.COLUMNS.items()
        if key not in ("variant", "attack", "κ")
    },
}


def markdown(
    found: AdaptiveResults,
    within: Sequence[dict],
    at_rates: Sequence[dict],
    targeted: Sequence[dict],
    made_by: Mapping[str, str],
) -> str:
    """The report; its arguments are those of `publication.write`, and rows of `within`."""
    rows = found.rows()
    known = dict.fromkeys(of.knowledge for of in found.attackers)
    parts = [
        f"# MagNet by what the attacker knows: {rows[0]['dataset']}",
        "\n\n".join(sentences(rows)),
        *warnings(found),
        "\n".join(f"- *{name}*: knows {KNOWS[name]}" for name in known),
        (
            "*ASR*: the share of images that pass the detectors and are misclassified when "
            "healed, of those that the defence gets right when they are clean, with Wilson's "
            "95 % interval; the images are the same for every attacker. *L1, L2*: mean distances "
            "of the examples found on what was attacked, of these images. *κ* is the margin by "
            "which that is fooled."
        ),
        *(_side_by_side(name, rows) for name in found.variants),
        "## The worst case for each image\n\nThe share of the same images that any of the "
        "attacks tried gets past the defence: an attacker picks the best.\n\n"
        + of_rows(found.worst_cases(), WORST_CASE),
        *_within(within),
        *_at_rates(at_rates),
        *_targeted(targeted),
        report.how_it_was_made(found.parts[0].results, made_by),
        "## Appendix: all images\n\nWith the images, too, that the defence gets wrong when "
        "they are clean. *found*: an example was found on what was attacked; *fooled*: the "
        "undefended classifier is misled; the other columns are those of the oblivious "
        "evaluation.\n\n" + of_rows(rows, EVERYTHING),
    ]
    return "\n\n".join(parts) + "\n"


def sentences(rows: Sequence[dict]) -> list[str]:
    """What was attacked, and each attacker's best against each defence.

    Args:
        rows: of `results.json`, at least one.
    """
    first = rows[0]
    said = [
        (
            f"{first['num_examples']} test images of {first['dataset']} that the undefended "
            "classifier gets right were attacked by each attacker with "
            f"{summary.attacks_and_values(rows)}."
        )
    ]
    for variant in dict.fromkeys(row["variant"] for row in rows):
        best: dict[Attacker, dict] = {}
        for row in rows:
            if row["variant"] == variant:
                known = best.setdefault(attacker(row), row)
                if row["defended_asr"] > known["defended_asr"]:
                    best[attacker(row)] = row
        counted = next(iter(best.values()))["num_defended"]
        reached = "; ".join(_reached(who, row) for who, row in best.items())
        said.append(
            f"Of the {counted} that {variant} gets right when clean, at best [95 % interval]: "
            f"{reached}."
        )
    return said


def _reached(who: Attacker, row: Mapping) -> str:
    text = f"{who.title} {defended_asr(row)}"
    if not row["defended_asr"]:
        return text
    return (
        f"{text} ({report.attack_title(row)}{summary.where(row)}, "
        f"L1 {number(row['defended_mean_l1'])}, L2 {number(row['defended_mean_l2'])})"
    )


def warnings(found: AdaptiveResults) -> list[str]:
    """What says that figures are not to be trusted; none where nothing does."""
    return _not_held(found) + _weaker(found.worst_cases())


def _weaker(worst: Sequence[dict]) -> list[str]:
    """Where who knows everything reaches less than who knows nothing.

    It could hand in the other's examples: its attack has failed, not the attacker (Carlini
    et al., "On Evaluating Adversarial Robustness", arXiv 1902.06705, section 5).
    """
    reached = {
        (row["variant"], row["attacks"], row["knowledge"]): row
        for row in worst
        if row["knowledge"] != "gray"
    }
    weaker = [
        f"{row['attacks']} on {variant} ({percent(row['asr'], row['num_examples'])}, "
        f"oblivious {percent(other['asr'], row['num_examples'])})"
        for (variant, attacks, knowledge), row in reached.items()
        if knowledge == "white"
        and (other := reached.get((variant, attacks, "oblivious")))
        and row["asr"] < other["asr"]
    ]
    if not weaker:
        return []
    return [
        (
            "**Warning**: the white-box attacker reached fewer images than the oblivious one, "
            f"whose examples it could use: {', '.join(weaker)}. Its attack fell short there; "
            "that does not speak for the defence."
        )
    ]


def _not_held(found: AdaptiveResults) -> list[str]:
    """Where a judge does not see what an attack found on it."""
    differing = found.disagreements()
    if not differing:
        return []
    cases = ", ".join(
        f"{who.title} on {name}, {report.at_setting(case)} ({count})"
        for (who, name, case), count in differing.items()
    )
    return [
        (
            "**Warning**: images on which an attack found an example that does not hold when "
            f"it is judged: {cases}. They count as no success, but their distances are among "
            "the means."
        )
    ]


def _side_by_side(variant: str, rows: Sequence[dict]) -> str:
    """For each attack and kappa what each attacker reaches, and at which distance."""
    own = [row for row in rows if row["variant"] == variant]
    whose = list(dict.fromkeys(map(attacker, own)))
    by_case: dict[tuple[str, str], dict[Attacker, dict]] = {}
    for row in own:
        key = report.attack_title(row), report.setting(row)
        by_case.setdefault(key, {})[attacker(row)] = row
    lines = [["attack", "κ"]]
    for who in whose:
        lines[0] += [f"{who.title}: ASR [95 %]", "L1", "L2"]
    for (name, kappa), by in by_case.items():
        line = [name, kappa]
        for who in whose:
            distances = (by[who][f"defended_mean_{n}"] for n in ("l1", "l2"))
            line += [defended_asr(by[who]), *map(number, distances)]
        lines.append(line)
    pictures = (
        f"![Attack success rate, {variant}](asr_{variant}.png)\n\n"
        f"![Distances, {variant}](distances_{variant}.png)"
    )
    count = own[0]["num_defended"]
    head = f"## {variant}\n\n{count} of {own[0]['num_examples']} images."
    return f"{head}\n\n{table(lines)}\n\n{pictures}"


def _at_rates(rows: Sequence[dict]) -> list[str]:
    if not rows:
        return []
    across = _across(rows, NAMED, "false_positive_rate", lambda f: f"SR@{100 * f:g}")
    return [
        (
            "## At fixed false positive rates\n\nSR@f: the attack success rate with the thresholds "
            "set so that the whole defence, all its detectors at one drop rate, rejects at most "
            "f % of the clean validation images; of the images that it then gets right when they "
            "are clean. The white-box attacker crafts anew for the thresholds of each rate, at "
            f"the least κ.\n\n{across}"
        )
    ]


def _within(rows: Sequence[dict]) -> list[str]:
    if not rows:
        return []
    named = {name: NAMED[name] for name in ("variant", "attacker", "attack")}
    across = _across(rows, named, "epsilon", lambda radius: f"L2 ≤ {radius:g}")
    return [
        (
            "## Within an L2 distance\n\nThe share of the images that the defence gets right "
            "when they are clean that get past it within a distance: orthogonal projected "
            "gradient descent with a run for each radius, the others with the run at their "
            f"least κ.\n\n{across}"
        )
    ]


def _across(
    rows: Sequence[dict], named: Mapping, key: str, title: Callable[[float], str]
) -> str:
    """Successes as a table with a column for each value of a key."""
    values = list(dict.fromkeys(row[key] for row in rows))
    by_line: dict[tuple, dict[float, dict]] = {}
    for row in rows:
        line = tuple(cell(row) for cell in named.values())
        by_line.setdefault(line, {})[row[key]] = row
    success = _counted("success", "num_defended")
    lines = [[*named, *(f"{title(value)} [95 %]" for value in values)]]
    for line, by in by_line.items():
        lines.append([*line, *(success(by[value]) for value in values)])
    return table(lines)


def _targeted(rows: Sequence[dict]) -> list[str]:
    if not rows:
        return []
    return [
        (
            "## Targeted\n\nEach image attacked toward every class but its own, at the least κ. "
            "*best*: any target is reached, distances of the easiest; *average*: one that is drawn "
            "at random; *worst*: all are reached, distances of the hardest. Variant *none*: the "
            "undefended classifier. A defence is fooled where the example passes and is "
            f"classified as the target when healed.\n\n{of_rows(rows, TARGETED)}"
        )
    ]
