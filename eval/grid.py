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
    """

    craft: Callable[..., Mapping[str, AttackResult]]
    has_beta: bool
    title: str


def _carlini_wagner(
    classifier, x, labels, run: Run, **search
) -> dict[str, AttackResult]:
    return {
        "L2": carlini_wagner_l2(
            classifier, x, labels, confidence=run.confidence, **search
        )
    }


def _elastic_net(classifier, x, labels, run: Run, **search) -> dict[str, AttackResult]:
    return elastic_net(
        classifier, x, labels, beta=run.beta, confidence=run.confidence, **search
    )


ATTACKS = {
    "cw": Attack(_carlini_wagner, has_beta=False, title="C&W"),
    "ead": Attack(_elastic_net, has_beta=True, title="EAD"),
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
