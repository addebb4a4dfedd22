"""The attacks of an evaluation, and the runs that its grid is made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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
        beta = "" if self.beta is None else f"-beta{self.beta:.15g}"
        return f"{self.attack}{beta}-kappa{self.confidence:.15g}"


@dataclass(frozen=True)
class Attack:
    """An attack as the evaluation runs it.

    Attributes:
        craft: from classifier, images, labels, run and the attacks' keywords to
            {rule: AttackResult}.
        has_beta: whether it runs once for each beta.
        title: its name in figures.
        sweep: from classifier, images, labels, runs that differ in confidence alone and the
            attacks' keywords to what `craft` gives for each; None where it cannot.
    """

    craft: Callable[..., Mapping[str, AttackResult]]
    has_beta: bool
    title: str
    sweep: Callable[..., Sequence[Mapping[str, AttackResult]]] | None = None


def _carlini_wagner(
    classifier, x, labels, runs: Sequence[Run], **search
) -> list[dict[str, AttackResult]]:
    confidences = [run.confidence for run in runs]
    results = carlini_wagner_l2(classifier, x, labels, confidence=confidences, **search)
    return [{"L2": result} for result in results]


def _elastic_net(
    classifier, x, labels, runs: Sequence[Run], **search
) -> list[dict[str, AttackResult]]:
    confidences, beta = [run.confidence for run in runs], runs[0].beta
    return elastic_net(
        classifier, x, labels, confidence=confidences, beta=beta, **search
    )


def _one_of(sweep: Callable) -> Callable:
    """A sweep as what crafts for one run."""
    return lambda classifier, x, labels, run, **search: sweep(
        classifier, x, labels, [run], **search
    )[0]


ATTACKS = {
    "cw": Attack(
        _one_of(_carlini_wagner), has_beta=False, title="C&W", sweep=_carlini_wagner
    ),
    "ead": Attack(
        _one_of(_elastic_net), has_beta=True, title="EAD", sweep=_elastic_net
    ),
}


def runs(
    attacks: Sequence[str], confidences: Sequence[float], betas: Sequence[float]
) -> list[Run]:
    """Every run of a grid: attack by attack, beta by beta, by rising confidence."""
    return [
        Run(attack, confidence, beta)
        for attack in dict.fromkeys(attacks)
        for beta in (sorted(set(betas)) if ATTACKS[attack].has_beta else [None])
        for confidence in sorted(set(confidences))
    ]
