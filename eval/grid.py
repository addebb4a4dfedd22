"""The attacks of an evaluation, and the runs that its grid is made of."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np

from attacks import AttackResult, carlini_wagner_l2, elastic_net


@dataclass(frozen=True)
class Run:
    """One crafting of adversarial examples: an attack at a confidence and, for EAD, a beta."""

    attack: str
    confidence: float
    beta: float | None = None

    @property
    def name(self) -> str:
        """Names the run's files: numbers stand in full, so that no two runs share one."""
        return f"{_stem(self.attack, self.beta)}-kappa{self.confidence:.15g}"


class Case(NamedTuple):
    """A run's examples by one rule: what a defence is tried on."""

    run: Run
    rule: str

    @property
    def name(self) -> str:
        """Names the case's files."""
        return f"{self.run.name}-{self.rule}"

    @property
    def title(self) -> str:
        """As it stands in tables and legends, where the confidence is told apart."""
        return title(self.run.attack, self.rule, self.run.beta)


@dataclass(frozen=True)
class Group:
    """Runs that are crafted together: they share everything but the confidence.

    Attributes:
        attack: in `ATTACKS`.
        beta: of each run.
        confidences: of the runs, rising.
    """

    attack: str
    beta: float | None
    confidences: tuple[float, ...]

    @property
    def runs(self) -> list[Run]:
        """One for each confidence, in their order."""
        return [Run(self.attack, kappa, self.beta) for kappa in self.confidences]

    @property
    def name(self) -> str:
        """As it stands beside a progress bar."""
        kappas = ",".join(f"{kappa:g}" for kappa in self.confidences)
        return f"{_stem(self.attack, self.beta)}-kappa{kappas}"

    def without(self, done: Sequence[Run]) -> "Group":
        """The group of the runs that are not among these."""
        left = tuple(run.confidence for run in self.runs if run not in done)
        return dataclasses.replace(self, confidences=left)


@dataclass(frozen=True)
class Attack:
    """An attack as the evaluation runs it.

    Attributes:
        craft: from classifier, images, labels, a group and the search's keywords to
            {rule: AttackResult} for each of the group's confidences, in their order.
        has_beta: whether it runs once for each beta.
        title: its name in tables and figures.
        has_confidence: whether it runs once for each confidence; else once, at 0.
        has_constraints: whether it takes `constraints`, from images to [N, J], and a
            classifier whose logits are [N, M, K]: what an attacker needs who knows the
            defence.
    """

    craft: Callable[..., Sequence[Mapping[str, AttackResult]]]
    has_beta: bool
    title: str
    has_confidence: bool = True
    has_constraints: bool = False


def _carlini_wagner(
    classifier: Callable, x: np.ndarray, labels: np.ndarray, group: Group, **search: Any
) -> list[dict[str, AttackResult]]:
    search.pop("momentum", None)  # of EAD alone
    results = carlini_wagner_l2(
        classifier, x, labels, confidence=group.confidences, **search
    )
    return [{"L2": result} for result in cast(list[AttackResult], results)]


def _elastic_net(
    classifier: Callable, x: np.ndarray, labels: np.ndarray, group: Group, **search: Any
) -> list[dict[str, AttackResult]]:
    settings = {"confidence": group.confidences, "beta": group.beta, **search}
    results = elastic_net(classifier, x, labels, **settings)
    return cast(list[dict[str, AttackResult]], results)


ATTACKS = {
    "cw": Attack(_carlini_wagner, has_beta=False, title="C&W", has_constraints=True),
    "ead": Attack(_elastic_net, has_beta=True, title="EAD", has_constraints=True),
}


def groups(
    attacks: Sequence[str],
    confidences: Sequence[float],
    betas: Sequence[float],
    sweep: bool,
) -> list[Group]:
    """A grid: attack by attack, beta by beta, by rising confidence.

    Args:
        attacks: in `ATTACKS`.
        confidences: values of kappa.
        betas: for the attacks that have one.
        sweep: whether the runs that differ in confidence alone are one group; else each
            run is a group of its own.
    """
    found = []
    for name in dict.fromkeys(attacks):
        attack = ATTACKS[name]
        kappas = (
            sorted(set(map(float, confidences))) if attack.has_confidence else [0.0]
        )
        together = [tuple(kappas)] if sweep else [(kappa,) for kappa in kappas]
        for beta in sorted(set(betas)) if attack.has_beta else [None]:
            found += [Group(name, beta, of) for of in together]
    return found


def title(attack: str, rule: str | None, beta: float | None) -> str:
    """An attack with its rule and beta, as it stands in tables and legends.

    One that is not in `ATTACKS`, or of no known rule, keeps its name: a file's, for example.
    """
    known = ATTACKS.get(attack)
    named = f"{known.title} {rule}" if known and rule else attack
    return named if beta is None else f"{named}, β={beta:g}"


def _stem(attack: str, beta: float | None) -> str:
    return attack if beta is None else f"{attack}-beta{beta:.15g}"
