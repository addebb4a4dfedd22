"""What each attacker reached: rows by knowledge, over the images that the defence gets right."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from eval.grid import Case
from eval.results import Results

KNOWLEDGE = ("oblivious", "gray", "white")


class Attacker(NamedTuple):
    """What an attacker knows.

    Attributes:
        knowledge: "oblivious", of the undefended classifier alone; "gray", of how the
            defence is made, too; "white", of its models and thresholds, too.
        autoencoders: how many of its own the gray-box attacker trains of each of the
            defence's; None for the others.
    """

    knowledge: str
    autoencoders: int | None = None

    @property
    def title(self) -> str:
        """As it stands in tables and legends."""
        own = "" if self.autoencoders is None else f" ({self.autoencoders})"
        return f"{self.knowledge}{own}"


class Part(NamedTuple):
    """What an attacker reached, against the defences that its examples are for."""

    attacker: Attacker
    results: Results


class Reached(NamedTuple):
    """What an attacker reached against one defence.

    Attributes:
        attacker: who.
        name: of the defence.
        results: of all attacked images, with this defence alone.
        defended: bool [N], the images that it gets right when they are clean: they pass its
            detectors, and are classified rightly when healed.
    """

    attacker: Attacker
    name: str
    results: Results
    defended: np.ndarray

    @property
    def on_defended(self) -> Results:
        """The results on the images that the defence gets right when they are clean."""
        return self.results.at(self.defended)


@dataclass(frozen=True)
class AdaptiveResults:
    """All that an adaptive evaluation found.

    Attributes:
        parts: of every attacker, on the same images.
        chosen: which of the test images these are, int [N].
    """

    parts: Sequence[Part]
    chosen: np.ndarray

    @property
    def variants(self) -> list[str]:
        """The defences' names."""
        return list(
            dict.fromkeys(v for part in self.parts for v in part.results.variants)
        )

    @property
    def attackers(self) -> list[Attacker]:
        """Who attacked, in the order of what they know."""
        return list(dict.fromkeys(part.attacker for part in self.parts))

    def reached(self) -> Iterator[Reached]:
        """Defence by defence what each attacker reached."""
        for name in self.variants:
            for attacker, results in self.parts:
                if name not in results.variants:
                    continue
                of = results.variants[name]
                defended = (of.clean.passed & of.clean.right_healed)[self.chosen]
                yield Reached(attacker, name, results.only(name), defended)

    def rows(self) -> list[dict]:
        """A row for each defence, attacker and case.

        Those of the oblivious evaluation, and: `success_crafting`, the share of images for
        which the attack found an example on what it attacks; of the `num_defended` images
        that the defence gets right when they are clean the share that gets past it, with
        its interval, and the mean distances of the examples found.
        """
        return [row for one in self.reached() for row in _rows(one)]

    def worst_cases(self) -> list[dict]:
        """As of `Results`, on the images that the defence gets right, for each attacker."""
        return [
            {**_named(one.attacker), **row}
            for one in self.reached()
            for row in one.on_defended.worst_cases()
        ]

    def disagreements(self) -> dict[tuple[Attacker, str, Case], int]:
        """On how many images what an attack found does not hold when it is judged.

        By attacker, defence and case; what the oblivious and the white-box attacker find is
        judged by what it was crafted on, and so holds but for a model that does not say the
        same of the same image twice.
        """
        found = {}
        for attacker, name, results, _ in self.reached():
            outcomes = results.variants[name].attacked
            for case, crafted in results.crafted.items():
                holds = {
                    "oblivious": ~outcomes[case].right,
                    "gray": crafted.success,  # was found on the attacker's own models
                    "white": outcomes[case].got_past,
                }[attacker.knowledge]
                if count := int(np.sum(crafted.success & ~holds)):
                    found[attacker, name, case] = count
        return found


def _named(attacker: Attacker) -> dict:
    return {"knowledge": attacker.knowledge, "autoencoders": attacker.autoencoders}


def _rows(one: Reached) -> list[dict]:
    found = []
    pairs = zip(
        one.results.rows_and_cases(), one.on_defended.rows_and_cases(), strict=True
    )
    for (row, case), (own, _) in pairs:
        crafted = one.results.crafted[case].success
        outcome = one.results.variants[one.name].attacked[case]
        fooled = crafted if one.attacker.knowledge == "oblivious" else ~outcome.right
        found.append(
            {
                **row,
                "success_undefended": float(fooled.mean()),
                **_named(one.attacker),
                "success_crafting": float(crafted.mean()),
                "num_defended": own["num_examples"],
                **{
                    f"defended_{key}": own[key]
                    for key in ("asr", "asr_low", "asr_high", "mean_l1", "mean_l2")
                },
            }
        )
    return found
