"""Targeted attacks: the best, the average and the worst case over the targets of each image.

Chen, Sharma, Zhang, Yi & Hsieh, "EAD", AAAI 2018 (arXiv 1709.04114), section "Experiment
Setup", after Carlini & Wagner (arXiv 1608.04644), section V: every image is attacked toward
every class but its own. The best case is its easiest target, the worst case its hardest, which
fails where any target does, the average case a target that is drawn at random. As in
`test_attack.py` of the original, each norm has its own easiest and hardest target.
"""

import dataclasses
from collections.abc import Iterator, Mapping

import numpy as np

from eval.engines import Engine
from eval.evaluation import Evaluation, Plan
from eval.knowledge.results import Attacker
from eval.metrics import mean_over, share_of
from eval.results import Results
from eval.store import Store
from eval.subject import Subject
from eval.target import Target
from magnet_tf.datasets import Split

NORMS = ("l1", "l2", "linf")
UNDEFENDED = "none"  # stands where a row has its variant


class TargetedEvaluation(Evaluation):
    """An evaluation of targeted attacks, toward every class but an image's own.

    Its examples are each image so often, its labels the targets; an outcome's `right` and
    `right_healed` then say that the target is reached.
    """

    def __init__(
        self,
        subject: Subject,
        plan: Plan,
        store: Store,
        target: Target,
        engine: Engine | None = None,
    ):
        folder = f"targeted/{target.folder}"
        search = {**plan.search, "targeted": True}
        super().__init__(
            subject,
            dataclasses.replace(plan, search=search),
            store,
            dataclasses.replace(target, folder=folder),
            engine,
        )
        self.examples = toward_others(self.examples, subject.dataset.num_classes)


def toward_others(examples: Split, num_classes: int) -> Split:
    """Each image K - 1 times, one after the other, with the other classes as its labels."""
    steps = np.arange(1, num_classes)
    targets = (examples.labels[:, None] + steps) % num_classes
    images = np.repeat(examples.images, len(steps), axis=0)
    return Split(images, targets.ravel())


def cases(
    reached: np.ndarray, distances: Mapping[str, np.ndarray], drawn: np.ndarray
) -> dict[str, tuple[np.ndarray, dict[str, np.ndarray]]]:
    """The three cases of each image.

    Args:
        reached: bool [N, K - 1], the target is reached.
        distances: {norm: [N, K - 1]}.
        drawn: int [N], the target of the average case.

    Returns:
        {case: (success bool [N], {norm: [N]})}.
    """
    images = np.arange(len(reached))
    least = {n: np.where(reached, d, np.inf).min(axis=1) for n, d in distances.items()}
    most = {n: d.max(axis=1) for n, d in distances.items()}
    average = {n: d[images, drawn] for n, d in distances.items()}
    return {
        "best": (reached.any(axis=1), least),
        "average": (reached[images, drawn], average),
        "worst": (reached.all(axis=1), most),
    }


def rows(
    attacker: Attacker, evaluation: Evaluation, results: Results
) -> Iterator[dict]:
    """A row for each defence, attack and case; for the oblivious attacker of no defence, too.

    Args:
        attacker: who.
        evaluation: of targeted attacks.
        results: its own.

    Returns:
        Rows with the share of images that get past the defence as their target, of those
        that it gets right when they are clean; mean distances are of these.
    """
    count = len(evaluation.chosen)
    drawn = np.random.default_rng(evaluation.plan.seed).integers(
        len(results.examples.labels) // count, size=count
    )
    everyone = np.ones(count, bool)
    for case, crafted in results.crafted.items():
        against = {UNDEFENDED: (crafted.success, everyone)}
        if attacker.knowledge != "oblivious":
            against = {}
        for name, of in results.variants.items():
            clean = (of.clean.passed & of.clean.right_healed)[evaluation.chosen]
            outcome = of.attacked[case]
            against[name] = outcome.passed & outcome.right_healed, clean
        by_target = {norm: getattr(crafted, norm).reshape(count, -1) for norm in NORMS}
        for name, (reached, counted) in against.items():
            found = cases(reached.reshape(count, -1), by_target, drawn)
            for which, (success, distances) in found.items():
                share, low, high = share_of(success[counted])
                past = success & counted
                yield {
                    "dataset": results.dataset,
                    "variant": name,
                    **attacker._asdict(),
                    **case.columns,
                    "case": which,
                    "num_examples": int(counted.sum()),
                    "asr": share,
                    "asr_low": low,
                    "asr_high": high,
                    **{f"mean_{n}": mean_over(d, past) for n, d in distances.items()},
                    "seed": results.seed,
                    **case.run.axis,
                }
