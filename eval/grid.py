"""The attacks of an evaluation, and the runs that its grid is made of."""

import dataclasses
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np

from attacks import AttackResult, carlini_wagner_l2, elastic_net, orthogonal_pgd

CONFIDENCE = "confidence"


@dataclass(frozen=True)
class Run:
    """One crafting of adversarial examples.

    Attributes:
        attack: in `ATTACKS`.
        confidence: kappa, or the value of what takes its place (`Attack.parameter`).
        beta: EAD's weight of the L1 norm.
    """

    attack: str
    confidence: float
    beta: float | None = None

    @property
    def name(self) -> str:
        """Names the run's files: numbers stand in full, so that no two runs share one."""
        return f"{_stem(self.attack, self.beta)}-kappa{self.confidence:.15g}"

    @property
    def parameter(self) -> str | None:
        """What tells it from the other runs of its attack; None where nothing does."""
        known = ATTACKS.get(self.attack)
        return known.parameter if known else CONFIDENCE

    @property
    def bounded(self) -> bool:
        """Whether its examples may be no farther than it is told."""
        known = ATTACKS.get(self.attack)
        return bool(known and known.bounded)

    @property
    def margin(self) -> float:
        """By which its examples fool the classifier: kappa, 0 without one."""
        return self.confidence if self.parameter == CONFIDENCE else 0.0

    @property
    def axis(self) -> dict:
        """What rows say of its place among the runs of its attack."""
        value = self.confidence if self.parameter else None
        return {"parameter": self.parameter, "value": value}

    @property
    def setting(self) -> str:
        """Its place among those, such as "κ = 20"; empty where it is the only one."""
        return at(self.parameter, self.confidence)


class Case(NamedTuple):
    """A run's examples by one rule: what a defence is tried on."""

    run: Run
    rule: str

    @property
    def name(self) -> str:
        """Names the case's files."""
        return f"{self.run.name}-{self.rule}"

    @property
    def columns(self) -> dict:
        """What rows say of it."""
        kappa = self.run.confidence if self.run.parameter == CONFIDENCE else None
        return {
            "attack": self.run.attack,
            "rule": self.rule,
            "beta": self.run.beta,
            "confidence": kappa,
        }

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
        """The group that has to be crafted where these runs are there already.

        The whole group, if any run is missing, where its attack sweeps: so a run is the
        same whether it is crafted with the others or after an interruption.
        """
        left = tuple(run.confidence for run in self.runs if run not in done)
        if left and ATTACKS[self.attack].sweeps:
            return self
        return dataclasses.replace(self, confidences=left)


@dataclass(frozen=True)
class Attack:
    """An attack as the evaluation runs it.

    Attributes:
        craft: from classifier, images, labels, a group and the search's keywords to
            {rule: AttackResult} for each of the group's confidences, in their order.
        has_beta: whether it runs once for each beta.
        title: its name in tables and figures.
        parameter: what its runs differ in: the confidence; or something of its own that
            takes the confidence's place, such as "epsilon"; or None, and it runs once.
        values: of a parameter of its own; the confidences are the evaluation's.
        library: name and version of the one that it is of, where it is not from here.
        bounded: whether its examples may be no farther than it is told, so that a failure
            is no miss.
        has_constraints: whether it takes `constraints`, from images to [N, J], and a
            classifier whose logits are [N, M, K]: what an attacker needs who knows the
            defence.
        sweeps: whether the examples of one confidence depend on which others the group
            has, because each begins where another ended.
    """

    craft: Callable[..., Sequence[Mapping[str, AttackResult]]]
    has_beta: bool
    title: str
    parameter: str | None = CONFIDENCE
    values: tuple[float, ...] = ()
    library: str = ""
    bounded: bool = False
    has_constraints: bool = False
    sweeps: bool = False


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


def _orthogonal(
    classifier: Callable, x: np.ndarray, labels: np.ndarray, group: Group, **search: Any
) -> list[dict[str, AttackResult]]:
    # the rest belongs to the searches for the least distance
    names = ("targeted", "batch_size", "constraints", "progress")
    own = {name: search[name] for name in names if name in search}
    results = orthogonal_pgd(classifier, x, labels, epsilon=group.confidences, **own)
    return [{"L2": result} for result in cast(list[AttackResult], results)]


ATTACKS = {
    "cw": Attack(
        _carlini_wagner,
        has_beta=False,
        title="C&W",
        has_constraints=True,
        sweeps=True,
    ),
    "ead": Attack(_elastic_net, has_beta=True, title="EAD", has_constraints=True),
    "opgd": Attack(
        _orthogonal,
        has_beta=False,
        title="Orthogonal PGD",
        parameter="epsilon",
        values=(0.25, 0.5, 1.0, 1.5, 2.0, 3.0),
        bounded=True,
        has_constraints=True,
    ),
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
        of_its_own = attack.values or (0.0,)
        values = confidences if attack.parameter == CONFIDENCE else of_its_own
        kappas = sorted(set(map(float, values)))
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


def at(parameter: str | None, value: float | None) -> str:
    """A value on an attack's axis, as it stands in texts: "κ = 20"; empty without an axis."""
    return f"{symbol(parameter)} = {value:g}" if parameter else ""


def symbol(parameter: str | None) -> str:
    """What an attack's runs differ in, as it stands in texts and on axes."""
    return "κ" if parameter == CONFIDENCE else parameter or ""


def _stem(attack: str, beta: float | None) -> str:
    """Of file names; whatever else stands in an attack's name is told apart by a digest."""
    if not attack.isidentifier():
        digest = hashlib.sha256(attack.encode()).hexdigest()[:8]
        attack = re.sub(r"\W+", "-", attack).strip("-")[:60] + f"-{digest}"
    return attack if beta is None else f"{attack}-beta{beta:.15g}"
