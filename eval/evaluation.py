"""An evaluation's work: crafting adversarial examples and handing them to each defence."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

import magnet_tf
from attacks import AttackResult
from eval import work
from eval.engines import Engine, Item, Local
from eval.grid import ATTACKS, Case, Group, Run
from eval.results import Results, VariantResults
from eval.store import Store
from eval.subject import Defence, Subject
from eval.target import Target, undefended
from magnet_tf.arrays import in_batches, predicted
from magnet_tf.datasets import Split
from magnet_tf.errors import UserError
from magnet_tf.outcomes import Outcome


class EvaluationError(UserError, ValueError):
    """What was asked for cannot be evaluated."""


@dataclass(frozen=True)
class Plan:
    """What is to be done, beside to whom.

    Attributes:
        grid: the runs, in groups that are crafted together.
        search: keywords of the attacks.
        num_examples: test images that are attacked.
        seed: of their choice.
        modules: the user's own code, {name: digest}.
    """

    grid: Sequence[Group]
    search: Mapping
    num_examples: int
    seed: int
    modules: Mapping[str, str]


@dataclass(frozen=True)
class Chunk:
    """Images that are attacked together, and which of the parts they are."""

    index: int
    images: np.ndarray
    labels: np.ndarray


class Evaluation:
    """One evaluation; what it finishes goes to a store, and is taken from there.

    Args:
        subject: the dataset, its classifier and the defences.
        plan: what is done to them.
        store: of the finished work.
        target: what the examples are crafted on; None: the undefended classifier.
        engine: where the work is done; None: here.

    Raises:
        EvaluationError: the classifier gets too few test images right.

    Attributes:
        chosen: indices of the test images that are attacked.
        examples: these images, and their labels.
    """

    def __init__(
        self,
        subject: Subject,
        plan: Plan,
        store: Store,
        target: Target | None = None,
        engine: Engine | None = None,
    ):
        self.subject, self.plan, self.store = subject, plan, store
        self.target = target or undefended(subject.classifier, subject.fingerprint)
        self.engine: Engine = engine or Local()
        self._code: dict[str, object] = {"version": magnet_tf.__version__}
        if plan.modules:
            self._code["modules"] = dict(plan.modules)
        self.chosen = self._choose()
        self.examples = subject.dataset.test.at(self.chosen)

    def run(self) -> Results:
        """Crafts and judges what is not in the store."""
        crafted = self.craft()
        return Results(
            self.subject.dataset.name,
            self.plan.seed,
            self.examples,
            crafted,
            self.judge(crafted),
        )

    def _choose(self) -> np.ndarray:
        """Indices of test images that the classifier gets right, drawn by seed."""
        dataset, count = self.subject.dataset, self.plan.num_examples
        settings = {
            "classifier": self.subject.fingerprint,
            "images": _digest(*dataset.test),
            "seed": self.plan.seed,
        }
        if not (saved := self.store.load("examples", settings)):
            logits = predicted(self.subject.classifier, dataset.test.images)
            right = np.flatnonzero(logits.argmax(axis=1) == dataset.test.labels)
            saved = {"order": np.random.default_rng(self.plan.seed).permutation(right)}
            self.store.save("examples", settings, saved)
        if len(saved["order"]) < count:
            raise EvaluationError(
                f"{count} images were asked for: the classifier gets only "
                f"{len(saved['order'])} test images of {dataset.name} right."
            )
        return saved["order"][:count]

    def craft(self) -> dict[Case, AttackResult]:
        """The adversarial examples of every run by each rule; crafts what is missing."""
        chunks = self._chunks()
        parts: dict[tuple[Run, int], Mapping[str, AttackResult]] = {}
        missing = []
        for group in self.plan.grid:
            for chunk in chunks:
                for run in group.runs:
                    if (found := self._stored(run, chunk)) is not None:
                        parts[run, chunk.index] = found
                done = [run for run in group.runs if (run, chunk.index) in parts]
                if (left := group.without(done)).runs:
                    missing.append((left, chunk))
        total = sum(len(group.runs) for group in self.plan.grid) * len(chunks)
        print(
            " ".join(["attacks", *self.target.folder.split("/")]).rstrip()
            + f": {len(parts)} of {total} parts reused, {total - len(parts)} to craft"
        )
        asked = self.engine.share(self.target.asked()) if missing else None
        items = [
            Item(group.name, work.craft, (asked, *self._given(group, chunk)))
            for group, chunk in missing
        ]
        for place, crafted in self.engine.run(items, "part"):
            group, chunk = missing[place]
            for run, results in zip(group.runs, crafted, strict=True):
                if (run, chunk.index) in parts:
                    continue  # crafted again only for the sake of others of its sweep
                parts[run, chunk.index] = results
                arrays = {
                    f"{rule}/{field}": value
                    for rule, result in results.items()
                    for field, value in result.arrays().items()
                }
                self.store.save(*self._key(run, chunk), arrays)
        cases = {}
        for group in self.plan.grid:
            for run in group.runs:  # a run's parts go as it is joined: it is large
                of_run = [parts.pop((run, chunk.index)) for chunk in chunks]
                for rule in of_run[0]:
                    joined = AttackResult.joined([part[rule] for part in of_run])
                    cases[Case(run, rule)] = joined
        return cases

    def _chunks(self) -> list[Chunk]:
        """The examples in parts of nearly equal size."""
        parts = -(-len(self.examples.labels) // work.CHUNK)
        images, labels = (np.array_split(of, parts) for of in self.examples)
        return [Chunk(index, *of) for index, of in enumerate(zip(images, labels))]

    def _key(self, run: Run, chunk: Chunk) -> tuple[str, dict]:
        """The name of a run's part in the store, and what it depends on beside the run."""
        library = ATTACKS[run.attack].library
        settings = {
            **self.target.settings,
            "images": _digest(chunk.images, chunk.labels),
            "search": dict(self.plan.search),
            **self._code,
            **({"library": library} if library else {}),
        }
        name = f"{self.target.folder}{run.name}-{chunk.index:03d}"
        return f"attacks/{name}", settings

    def _stored(self, run: Run, chunk: Chunk) -> dict[str, AttackResult] | None:
        """A run's part by rule, where the store has it."""
        arrays = self.store.load(*self._key(run, chunk))
        if arrays is None:
            return None
        by_rule: dict[str, dict[str, np.ndarray]] = {}
        for key, value in arrays.items():
            rule, field = key.split("/")
            by_rule.setdefault(rule, {})[field] = value
        return {rule: AttackResult(**of) for rule, of in by_rule.items()}

    def _given(self, group: Group, chunk: Chunk) -> tuple:
        """What `work.craft` takes beside what is asked."""
        images, search = self.engine.share(chunk.images), dict(self.plan.search)
        return images, chunk.labels, group, search, self.engine.here

    def judge(self, crafted: Mapping[Case, AttackResult]) -> dict[str, VariantResults]:
        """What each defence makes of the clean test images and of adversarial examples."""
        folder = self.target.folder
        inputs = {"clean": self.subject.dataset.test} | {
            f"{folder}{case.name}": Split(result.adversarial, self.examples.labels)
            for case, result in crafted.items()
        }
        saved = self._verdicts(self.subject.defences, inputs)
        found = {}
        for name, defence in self.subject.defences.items():
            outcomes = {
                of: work.outcome(saved[name, of], defence.detectors) for of in inputs
            }
            clean, thresholds = outcomes["clean"]
            attacked = {case: outcomes[folder + case.name][0] for case in crafted}
            found[name] = VariantResults(defence.variant, thresholds, clean, attacked)
        return found

    def _verdicts(
        self, defences: Mapping[str, Defence], inputs: Mapping[str, Split]
    ) -> dict[tuple[str, str], dict[str, np.ndarray]]:
        """What defences make of images, as `work.judge` says it; judges what is missing.

        Args:
            defences: by name.
            inputs: labelled images by name.

        Returns:
            By the names of defence and images.
        """
        where = {
            (name, of): self._verdict(f"{name}/{of}", defence, split)
            for of, split in inputs.items()
            for name, defence in defences.items()
        }
        loaded = {key: self.store.load(*at) for key, at in where.items()}
        saved = {key: arrays for key, arrays in loaded.items() if arrays is not None}
        # one item for all that lack the same images: what they share is asked once
        missing = {of: [n for n in defences if (n, of) not in saved] for of in inputs}
        lacking = [(of, tuple(names)) for of, names in missing.items() if names]
        judges = {
            names: self.engine.share([defences[name].magnet() for name in names])
            for names in dict.fromkeys(names for _, names in lacking)
        }
        items = [
            Item(of, work.judge, (judges[names], self.engine.share(images), labels))
            for of, names in lacking
            for images, labels in [inputs[of]]
        ]
        for place, found in self.engine.run(items, "verdict"):
            of, names = lacking[place]
            for name, arrays in zip(names, found, strict=True):
                self.store.save(*where[name, of], arrays)
                saved[name, of] = arrays
        return saved

    def _verdict(self, name: str, defence: Defence, of: Split) -> tuple[str, dict]:
        """The name of a verdict in the store, and what it depends on."""
        settings = {
            "classifier": self.subject.fingerprint,
            "defence": defence.settings,
            "images": _digest(*of),
            **self._code,
        }
        return f"verdicts/{name}", settings

    def outcome(
        self, name: str, defence: Defence, of: str, split: Split
    ) -> tuple[Outcome, dict[str, float]]:
        """What a defence makes of images, from the store or now, and its thresholds.

        Args:
            name: of the defence.
            defence: that judges.
            of: the name of the images.
            split: labelled images.
        """
        saved = self._verdicts({name: defence}, {of: split})
        return work.outcome(saved[name, of], defence.detectors)

    def healed(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """What each defence's reformer makes of images, to be looked at.

        Args:
            images: float32 [N, H, W, C] in [0, 1].

        Returns:
            By name, float32 [N, H, W, C] in steps of 1/255, from the store or made now.
        """
        found = {}
        for name, defence in self.subject.defences.items():
            settings = {
                "defence": defence.settings,
                "images": _digest(images, np.empty(0)),
                **self._code,
            }
            saved = self.store.load(f"healed/{name}", settings)
            if saved is None:
                healed = in_batches(defence.magnet().reformer.heal, images)
                saved = {"images": np.rint(255 * healed.clip(0, 1)).astype(np.uint8)}
                self.store.save(f"healed/{name}", settings, saved)
            found[name] = saved["images"] / np.float32(255)
        return found


def _digest(images: np.ndarray, labels: np.ndarray) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(images).tobytes())
    digest.update(np.ascontiguousarray(labels).tobytes())
    return digest.hexdigest()
