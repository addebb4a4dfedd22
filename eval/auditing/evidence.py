"""What a finished evaluation left: images, examples, verdicts, defences."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from attacks import AttackResult
from eval import libraries, store
from eval.grid import ATTACKS, Case, Run
from eval.metrics import margins
from magnet_tf import MagNet, datasets, files, saved
from magnet_tf.arrays import predicted
from magnet_tf.errors import UserError

SAMPLE = 32  # images that are attacked again
OF_THE_RUN = ("dataset", "classifier", "num_examples", "seed", "training_steps")


class EvidenceError(UserError, ValueError):
    """A directory holds no finished evaluation, or not all of it."""


@dataclass(frozen=True)
class Evidence:
    """A finished evaluation.

    Attributes:
        directory: that it left.
        rows: of `results.json`.
        dataset: whose test images were attacked.
        labels: of these images, int [N].
        images: float32 [N, H, W, C] in [0, 1].
        crafted: what each attack made of them.
        defences: by variant, calibrated.
        search: keywords of the attacks.
    """

    directory: Path
    rows: list[dict]
    dataset: datasets.Dataset
    images: np.ndarray
    labels: np.ndarray
    crafted: Mapping[Case, AttackResult]
    defences: Mapping[str, MagNet]
    search: Mapping[str, Any]

    @cached_property
    def classifier(self) -> Any:
        """The undefended one."""
        return next(iter(self.defences.values())).classifier

    def row(self, variant: str, case: Case) -> dict:
        """The row of a variant and case."""
        wanted = {"variant": variant, **case.columns, **case.run.axis}
        return next(row for row in self.rows if wanted.items() <= row.items())

    def logits(self, images: np.ndarray) -> np.ndarray:
        """What the undefended classifier says, [N, K]."""
        return predicted(self.classifier, images)

    def margins(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """By how much the largest other logit is above the label's, [N]."""
        return margins(self.logits(images), labels)

    def middle(self) -> dict[str, list[Case]]:
        """Of each attack the cases of its middle run: the one that is tried again."""
        found: dict[str, list[Case]] = {}
        for attack in dict.fromkeys(case.run.attack for case in self.crafted):
            own = [case for case in self.crafted if case.run.attack == attack]
            runs = sorted({(case.run.beta or 0, case.run.confidence) for case in own})
            chosen = runs[len(runs) // 2]
            found[attack] = [
                c for c in own if (c.run.beta or 0, c.run.confidence) == chosen
            ]
        return found


def load(directory: Path, dataset: str | None) -> Evidence:
    """Reads a finished evaluation; nothing in it is changed.

    Args:
        directory: `--output_dir` of `eval.oblivious`.
        dataset: where it is data of the user's own; None: as the directory says.

    Raises:
        EvidenceError: something is missing or damaged.
    """
    for name in ("results.json", "settings.json", "examples.npz"):
        if not (directory / name).is_file():
            raise EvidenceError(
                f"{directory} has no {name}: it holds no finished evaluation; give the "
                "--output_dir of one."
            )
    try:
        rows = json.loads((directory / "results.json").read_text(encoding="utf-8"))
        text = (directory / "settings.json").read_text(encoding="utf-8")
        settings = json.loads(text)["settings"]
        variants = list(dict.fromkeys(row["variant"] for row in rows))
        libraries.register(list(dict.fromkeys(row["attack"] for row in rows)))
        data = datasets.load(dataset or settings["dataset"])
        order = store.arrays_of(directory / "examples.npz")["order"]
        chosen = order[: settings["num_examples"]]
        crafted = _crafted(directory, rows)
    except files.DAMAGE as error:
        raise EvidenceError(f"{directory} cannot be read: {error}.") from error
    if unknown := {row["attack"] for row in rows} - set(ATTACKS):
        raise EvidenceError(
            f"the attack {unknown.pop()!r} is a user's own; name its module by --modules."
        )
    defences = {name: _defence(directory, name) for name in variants}
    images, labels = data.test.images[chosen], data.test.labels[chosen]
    search = {key: of for key, of in settings.items() if key not in OF_THE_RUN}
    return Evidence(directory, rows, data, images, labels, crafted, defences, search)


def _defence(directory: Path, name: str) -> MagNet:
    path = directory / f"defended_{name}.keras"
    if not path.is_file():
        raise EvidenceError(
            f"{directory} has no {path.name}; run its evaluation again, which writes it."
        )
    return saved.load_defence(path)


def _crafted(directory: Path, rows: list[dict]) -> dict[Case, AttackResult]:
    """The examples of every case that has a row, from their parts."""
    found = {}
    for row in rows:
        value = row["confidence"] if row["parameter"] == "confidence" else row["value"]
        run = Run(row["attack"], value or 0.0, row["beta"])
        case = Case(run, row["rule"])
        if case in found:
            continue
        parts = sorted((directory / "attacks").glob(f"{run.name}-[0-9][0-9][0-9].npz"))
        if not parts:
            raise EvidenceError(
                f"{directory}/attacks has no examples of {run.name}; run its evaluation "
                "again, which makes what is missing."
            )
        arrays = [store.arrays_of(path) for path in parts]
        found[case] = AttackResult.joined(
            [
                AttackResult(
                    **{f: of[f"{case.rule}/{f}"] for f in AttackResult._fields}
                )
                for of in arrays
            ]
        )
    return found
