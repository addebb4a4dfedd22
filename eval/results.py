"""What an evaluation found: each variant's results, and the rows of `results.json`."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from attacks import AttackResult
from eval.grid import ATTACKS, Case
from eval.metrics import mean_over, wilson_interval
from magnet_tf import datasets
from magnet_tf.outcomes import Outcome


@dataclass(frozen=True)
class VariantResults:
    """What a defence made of the clean test images and of every case.

    Attributes:
        variant: of which it is one training.
        thresholds: {detector: float}.
        clean: of the test images.
        attacked: of the adversarial examples.
    """

    variant: str
    thresholds: Mapping[str, float]
    clean: Outcome
    attacked: Mapping[Case, Outcome]


@dataclass(frozen=True)
class Results:
    """All that an evaluation found.

    Attributes:
        dataset: its name.
        seed: of the choice of images.
        examples: the images that were attacked, and their labels.
        crafted: the adversarial examples made of them.
        variants: what each defence made of those, by name.
    """

    dataset: str
    seed: int
    examples: datasets.Split
    crafted: Mapping[Case, AttackResult]
    variants: Mapping[str, VariantResults]

    def rows(self) -> list[dict]:
        """A row for each variant and case, as `results.json` has them."""
        return [row for row, _ in self.rows_and_cases()]

    def rows_and_cases(self) -> list[tuple[dict, Case]]:
        """The rows, each with its case."""
        return [
            (self._row(name, case), case)
            for name in self.variants
            for case in self._cases()
        ]

    def at(self, index: np.ndarray) -> "Results":
        """The same of some of the attacked images alone; the clean test images stay.

        Args:
            index: their places, or bool [N].
        """
        crafted = {
            case: AttackResult(*(field[index] for field in of))
            for case, of in self.crafted.items()
        }
        variants = {
            name: dataclasses.replace(
                of, attacked={case: its.at(index) for case, its in of.attacked.items()}
            )
            for name, of in self.variants.items()
        }
        return Results(
            self.dataset, self.seed, self.examples.at(index), crafted, variants
        )

    def only(self, name: str) -> "Results":
        """The same with one of the variants alone."""
        return dataclasses.replace(self, variants={name: self.variants[name]})

    def _cases(self) -> list[Case]:
        """By attack, beta and rule; the confidences stay in their order."""
        order = list(ATTACKS)
        return sorted(
            self.crafted,
            key=lambda case: (
                order.index(case.run.attack),
                case.run.beta or 0,
                case.rule,
            ),
        )

    def _row(self, name: str, case: Case) -> dict:
        variant, result = self.variants[name], self.crafted[case]
        clean = variant.clean.accuracies(attacked=False)
        return {
            "dataset": self.dataset,
            "variant": name,
            **case.columns,
            "num_examples": len(self.examples.labels),
            "success_undefended": float(result.success.mean()),
            **scores(variant.attacked[case]),
            "mean_l1": mean_over(result.l1, result.success),
            "mean_l2": mean_over(result.l2, result.success),
            "mean_linf": mean_over(result.linf, result.success),
            "clean_accuracy_none": clean.none,
            "clean_accuracy_both": clean.both,
            "seed": self.seed,
            **case.run.axis,
        }

    def chance(self) -> list[dict]:
        """Of each variant that was trained several times, what chance does to each case.

        Rows with the least, the median and the largest attack success rate; none where
        every variant was trained once.
        """
        rows = {(row["variant"], case): row for row, case in self.rows_and_cases()}
        by_variant: dict[str, list[str]] = {}
        for name, of in self.variants.items():
            by_variant.setdefault(of.variant, []).append(name)
        return [
            {
                "dataset": self.dataset,
                "variant": variant,
                **case.columns,
                "num_examples": len(self.examples.labels),
                "num_trainings": len(names),
                **_spread([rows[name, case]["asr"] for name in names]),
                **case.run.axis,
            }
            for variant, names in by_variant.items()
            if len(names) > 1
            for case in self._cases()
        ]

    def worst_cases(self) -> list[dict]:
        """For each variant and family of attacks, the share of images that any gets past.

        What an attacker who tries everything reaches, which a mean over attacks hides:
        Carlini et al., "On Evaluating Adversarial Robustness", arXiv 1902.06705, section 5.
        The families are each attack with all its rules, betas and confidences, and all.
        """
        found = []
        attacks = dict.fromkeys(case.run.attack for case in self.crafted)
        families: dict[str, tuple[str, ...]] = {name: (name,) for name in attacks}
        if len(attacks) > 1:
            families["all"] = tuple(attacks)
        count = len(self.examples.labels)
        for name, variant in self.variants.items():
            for family, members in families.items():
                cases = [case for case in self.crafted if case.run.attack in members]
                past = np.any(
                    [variant.attacked[case].got_past for case in cases], axis=0
                )
                share = float(past.mean())
                low, high = wilson_interval(share, count)
                found.append(
                    {
                        "dataset": self.dataset,
                        "variant": name,
                        "attacks": family,
                        "num_attacks": len(cases),
                        "num_examples": count,
                        "asr": share,
                        "asr_low": low,
                        "asr_high": high,
                    }
                )
        return found

    def disagreements(self) -> dict[Case, int]:
        """Cases whose successes the undefended classifier does not see, and on how many images.

        None for a classifier that says the same of an image whenever it is asked.
        """
        found = {}
        for case, result in self.crafted.items():
            for variant in self.variants.values():
                differing = variant.attacked[case].right == result.success
                if differing.any():
                    found[case] = int(np.sum(differing))
        return found


def scores(outcome: Outcome) -> dict[str, float]:
    """The four accuracies under attack, the attack success rate and its 95 % interval.

    Args:
        outcome: of adversarial examples.
    """
    attacked = outcome.accuracies(attacked=True)
    asr = 1 - attacked.both
    low, high = wilson_interval(asr, len(outcome.passed))
    accuracies = {f"accuracy_{key}": v for key, v in attacked._asdict().items()}
    return {**accuracies, "asr": asr, "asr_low": low, "asr_high": high}


def _spread(values: Sequence[float]) -> dict[str, float]:
    least, median, most = np.quantile(values, [0, 0.5, 1])
    return {
        "asr_least": float(least),
        "asr_median": float(median),
        "asr_most": float(most),
    }
