"""The oblivious evaluation: `python -m eval.oblivious --dataset=digits`.

Trains what is missing, attacks the undefended classifier, hands the adversarial examples to
each MagNet variant and reports how it did, as in Lu, Chen, Chen & Yu, "On the Limitation of
MagNet Defense against L1-based Adversarial Examples", DSN-W 2018 (arXiv 1805.00310).
"""

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np
from absl import app, flags, logging
from tqdm.auto import tqdm

from attacks import AttackResult
from eval import detection, figures, report
from eval.defences import Defence, saved_defence, trained_defence
from eval.grid import ATTACKS, Run, runs
from eval.metrics import mean_over, wilson_interval
from eval.models import Models
from eval.presets import PRESETS
from eval.store import Store, StoreError
from magnet_tf import NotCalibratedError, datasets, files, variants, zoo
from magnet_tf.arrays import predicted
from magnet_tf.magnet import check_logits
from magnet_tf.outcomes import Accuracies, Outcome
from train import loop

CHUNK = 64  # images that are attacked, and saved, together


class Evaluation:
    """One evaluation: its data, its models, and the store that its finished work goes to.

    Args:
        dataset: the data. grid: the runs. search: keywords of the attacks.
        num_examples: test images that are attacked. seed: of everything random.
        store: of the finished work.
        classifier, fingerprint: the undefended model, and what tells it from others.
        defences: by name. modules: the user's own code, {name: digest}.
    """

    def __init__(  # noqa: PLR0913
        self,
        dataset: datasets.Dataset,
        grid: Sequence[Run],
        search: dict,
        num_examples: int,
        seed: int,
        store: Store,
        classifier: keras.Model,
        fingerprint: str,
        defences: Mapping[str, Defence],
        modules: Mapping[str, str],
    ):
        self.dataset, self.grid, self.store = dataset, grid, store
        self.search, self.seed, self.defences = search, seed, defences
        self.classifier, self.fingerprint = classifier, fingerprint
        self.code = {"modules": modules} if modules else {}
        chosen = self._choose(num_examples)
        self.images, self.labels = (
            dataset.test.images[chosen],
            dataset.test.labels[chosen],
        )

    def _choose(self, num_examples: int) -> np.ndarray:
        """Indices of test images that the classifier gets right, drawn by seed."""
        settings = {"classifier": self.fingerprint, "seed": self.seed}
        if not (saved := self.store.load("examples", settings)):
            test = self.dataset.test
            right = np.flatnonzero(self._right(test.images, test.labels))
            saved = {"order": np.random.default_rng(self.seed).permutation(right)}
            self.store.save("examples", settings, saved)
        if len(saved["order"]) < num_examples:
            raise ValueError(
                f"--num_examples={num_examples}: the classifier gets only "
                f"{len(saved['order'])} test images of {self.dataset.name} right."
            )
        return saved["order"][:num_examples]

    def _right(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return predicted(self.classifier, images).argmax(axis=1) == labels

    def craft(self) -> dict[Run, dict[str, AttackResult]]:
        """Each run's adversarial examples by rule; crafts what is not in the store."""
        chunks = np.array_split(
            np.arange(len(self.images)), -(-len(self.images) // CHUNK)
        )
        crafted, missing = {}, []
        for group in self._groups():
            for index, chunk in enumerate(chunks):
                parts = {
                    run: self.store.load(*self._chunk_key(run, index)) for run in group
                }
                crafted |= {(run, index): part for run, part in parts.items()}
                if None in parts.values():
                    missing.append((group, index, chunk))
        lost = sum(len(group) for group, _, _ in missing)
        print(
            f"attacks: {len(crafted) - lost} of {len(crafted)} parts reused, {lost} to craft"
        )
        with tqdm(missing, unit="part", disable=not missing) as bar:
            for group, index, chunk in bar:
                bar.set_description(group[0].name if len(group) == 1 else "sweep")
                for run, results in zip(group, self._craft(group, chunk), strict=True):
                    arrays = {
                        f"{rule}/{field}": value
                        for rule, result in results.items()
                        for field, value in result._asdict().items()
                    }
                    self.store.save(*self._chunk_key(run, index), arrays)
                    crafted[run, index] = arrays
        return {
            run: _join([crafted[run, index] for index in range(len(chunks))])
            for run in self.grid
        }

    def _groups(self) -> list[list[Run]]:
        """The runs that are crafted together.

        Under the primal-dual search these are the runs that differ in confidence alone, each of
        which begins where another ended; otherwise each run stands for itself.
        """
        groups = {}
        for run in self.grid:
            swept = (
                ATTACKS[run.attack].sweep and self.search.get("search") == "primal_dual"
            )
            groups.setdefault((run.attack, run.beta) if swept else run, []).append(run)
        return list(groups.values())

    def _craft(
        self, group: list[Run], chunk: np.ndarray
    ) -> Sequence[Mapping[str, AttackResult]]:
        """The adversarial examples of a group's runs, for the images of a chunk."""
        attack = ATTACKS[group[0].attack]
        job = self.classifier, self.images[chunk], self.labels[chunk]
        settings = {"batch_size": CHUNK, "progress": True, **self.search}
        if len(group) > 1:
            return attack.sweep(*job, group, **settings)
        return [attack.craft(*job, group[0], **settings)]

    def _chunk_key(self, run: Run, index: int) -> tuple[str, dict]:
        settings = {"classifier": self.fingerprint, **self._made_by(run)}
        return f"attacks/{run.name}-{index:03d}", settings

    def _made_by(self, run: Run) -> dict:
        """What a run's examples depend on, beside the classifier and the run."""
        group = next(group for group in self._groups() if run in group)
        if len(group) == 1:
            return self._crafting
        return self._crafting | {"confidences": [other.confidence for other in group]}

    @property
    def _crafting(self) -> dict:
        """What all runs' examples depend on."""
        return {
            "num_examples": len(self.images),
            "seed": self.seed,
            "search": self.search,
            **self.code,
        }

    def judge(
        self, crafted: dict[Run, dict[str, AttackResult]]
    ) -> tuple[list[dict], dict]:
        """A row of results for each variant, run and rule, and the marks behind them.

        Returns:
            The rows of `results.json`, and {variant: {"thresholds": {detector: float},
            "clean": {detector: marks}, (run, rule): {detector: marks}}}.
        """
        rows, marks = [], {}
        for name, defence in self.defences.items():
            test = self.dataset.test
            clean = self._verdict(name, "clean", {}, test.images, test.labels)
            clean_accuracies = _accuracies(clean, attacked=False)
            marks[name] = {
                "thresholds": _by_detector(defence, clean["thresholds"].tolist()),
                "clean": _by_detector(defence, clean["marks"]),
            }
            for run, results in crafted.items():
                for rule, result in results.items():
                    verdict = self._verdict(
                        name,
                        f"{run.name}-{rule}",
                        self._made_by(run),
                        result.adversarial,
                        self.labels,
                    )
                    marks[name][run, rule] = _by_detector(defence, verdict["marks"])
                    rows.append(
                        self._row(name, run, rule, result, verdict, clean_accuracies)
                    )
        order = list(ATTACKS)
        rows.sort(  # stable: the variants and the confidences stay in their order
            key=lambda row: (
                list(self.defences).index(row["variant"]),
                order.index(row["attack"]),
                row["beta"] or 0,
                row["rule"],
            )
        )
        return rows, marks

    def _verdict(
        self,
        name: str,
        inputs: str,
        made_by: dict,
        images: np.ndarray,
        labels: np.ndarray,
    ) -> dict:
        """What the undefended classifier and a defence make of images, as arrays.

        Args:
            name: of the defence. inputs: names the images, made_by: what made them.
            images, labels: [N, H, W, C] and [N].
        """
        defence = self.defences[name]
        key = f"verdicts/{name}/{inputs}"
        settings = {
            "classifier": self.fingerprint,
            "defence": defence.settings,
            "images": made_by,
            **self.code,
        }
        if not (saved := self.store.load(key, settings)):
            magnet = defence.magnet()
            outcome = Outcome.of(magnet, images, labels)
            saved = {
                "right": outcome.right,
                "right_healed": outcome.right_healed,
                "passed": outcome.passed,
                "thresholds": np.array(
                    [magnet.thresholds[d] for d in defence.detectors]
                ),
                "marks": np.array([outcome.marks[d] for d in defence.detectors]),
            }
            self.store.save(key, settings, saved)
        return saved

    def _row(
        self,
        variant: str,
        run: Run,
        rule: str,
        result: AttackResult,
        verdict: dict,
        clean: Accuracies,
    ) -> dict:
        attacked = _accuracies(verdict, attacked=True)
        asr = 1 - attacked.both
        low, high = wilson_interval(asr, len(self.images))
        return {
            "dataset": self.dataset.name,
            "variant": variant,
            "attack": run.attack,
            "rule": rule,
            "beta": run.beta,
            "confidence": run.confidence,
            "num_examples": len(self.images),
            "success_undefended": float(result.success.mean()),
            **{f"accuracy_{key}": value for key, value in attacked._asdict().items()},
            "asr": asr,
            "asr_low": low,
            "asr_high": high,
            "mean_l1": mean_over(result.l1, result.success),
            "mean_l2": mean_over(result.l2, result.success),
            "mean_linf": mean_over(result.linf, result.success),
            "clean_accuracy_none": clean.none,
            "clean_accuracy_both": clean.both,
            "seed": self.seed,
        }


def _by_detector(defence: Defence, values: Sequence) -> dict:
    return dict(zip(defence.detectors, values, strict=True))


def _accuracies(verdict: dict, attacked: bool) -> Accuracies:
    return Outcome(
        verdict["right"], verdict["right_healed"], verdict["passed"], {}
    ).accuracies(attacked)


def _join(parts: list[dict]) -> dict[str, AttackResult]:
    """The parts of a run, as saved, joined into {rule: AttackResult}."""
    rules = dict.fromkeys(key.split("/")[0] for key in parts[0])
    return {
        rule: AttackResult(
            *(
                np.concatenate([part[f"{rule}/{field}"] for part in parts])
                for field in AttackResult._fields
            )
        )
        for rule in rules
    }


def main(_) -> None:
    """The command: what a user did wrong ends in one sentence."""
    args = flags.FLAGS
    logging.set_verbosity(logging.ERROR)
    try:
        run_evaluation(args)
    except (
        datasets.DatasetError,
        NotCalibratedError,
        OSError,
        StoreError,
        TypeError,
        ValueError,
    ) as error:
        raise SystemExit(f"eval.oblivious: {error}") from error
    except KeyboardInterrupt:
        raise SystemExit(
            "eval.oblivious: interrupted; the same command goes on."
        ) from None


def run_evaluation(args) -> None:
    """The whole path from data to report, as the flags say."""
    modules = {name: imported(name) for name in args.modules}
    preset = PRESETS[args.preset]
    check_names("attack", args.attacks, ATTACKS)
    dataset = datasets.load(args.dataset)
    known = variants.VARIANTS[dataset.like]
    names = args.variants or [name for name in ("D", "D+JSD") if name in known]
    check_names("variant", names, known)
    num_examples = args.num_examples or preset.num_examples
    if num_examples > len(dataset.test.labels):
        raise ValueError(
            f"--num_examples={num_examples}: {args.dataset} has "
            f"{len(dataset.test.labels)} test images."
        )
    grid = runs(
        args.attacks,
        numbers("confidences", args.confidences) or preset.confidences[dataset.like],
        numbers("betas", args.betas) or preset.betas,
    )
    directory = Path(args.output_dir or f"runs/{args.dataset}-{args.preset}")
    search = dict(preset.search)
    if args.search == "primal_dual":  # which has none of the exact search's settings
        search = {"search": "primal_dual"}
    settings = {
        "dataset": args.dataset,
        "classifier": args.classifier,
        "num_examples": num_examples,
        "seed": args.seed,
        **search,
        "training_steps": preset.training_steps,
    }
    if args.models_dir == "zoo":
        models_dir = zoo.ROOT / args.dataset
    else:
        models_dir = Path(args.models_dir or directory / "models")
    models = Models(
        models_dir,
        dataset,
        preset.recipe,
        preset.training_steps,
        args.seed,
        args.classifier and Path(args.classifier),
    )
    # A user's own files are looked at before the directory becomes this run's.
    classifier, fingerprint, defences = None, None, {}
    if args.defence:
        own = saved_defence(Path(args.defence))
        defences = {Path(args.defence).stem: own}
        classifier, fingerprint = own.magnet().classifier, own.settings["file"]
    if args.classifier:
        classifier, fingerprint = models.classifier()
    if classifier is not None:
        check_fit(classifier, dataset)
    store = Store(directory, settings)
    if classifier is None:
        classifier, fingerprint = models.classifier()
        check_fit(classifier, dataset)
    if not defences:
        defences = {
            name: trained_defence(
                name, known[name], classifier, models, dataset.validation, directory
            )
            for name in names
        }
    evaluation = Evaluation(
        dataset,
        grid,
        search,
        num_examples,
        args.seed,
        store,
        classifier,
        fingerprint,
        defences,
        modules,
    )
    crafted = evaluation.craft()
    rows, marks = evaluation.judge(crafted)
    print(f"{directory}: {store.reused} files reused, {store.made} made\n")
    made_by = {
        "command": f"`{' '.join(['python', '-m', *loop.command()])}`",
        "attacks": ", ".join(f"{key} {value}" for key, value in search.items()),
    }
    if args.defence:
        made_by["defence"] = args.defence
    else:
        used = {name: None for variant in names for name in known[variant].autoencoders}
        made_by |= models.descriptions(used)
    report.write(directory, rows, marks, detection.rows(marks, crafted), made_by)
    figures.write(directory, rows, marks, crafted, evaluation.images)
    print(report.table(rows))
    print(f"\n{directory}/report.md has the tables and figures.")


def imported(name: str) -> str:
    """Imports a module of the user's; the digest of its file."""
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ValueError(f"--modules: {error}.") from error
    path = getattr(module, "__file__", None)
    return files.sha256(Path(path)) if path else ""


def check_fit(classifier: keras.Model, dataset: datasets.Dataset) -> None:
    """Raises ValueError where a classifier is not for the dataset's images and classes."""
    images = dataset.test.images[:16]
    shape = getattr(classifier, "input_shape", None)
    if isinstance(shape, tuple) and not (
        len(shape) == images.ndim
        and all(want in (None, got) for want, got in zip(shape[1:], images.shape[1:]))
    ):
        raise ValueError(
            f"the classifier takes images of shape {shape[1:]}, the dataset's have "
            f"{images.shape[1:]}."
        )
    logits = predicted(classifier, images)
    check_logits(logits)
    if logits.shape[1] != dataset.num_classes:
        raise ValueError(
            f"the classifier has {logits.shape[1]} classes, the dataset "
            f"{dataset.num_classes}."
        )


def check_names(what: str, names: Sequence[str], known) -> None:
    """Raises ValueError where a list on the command line names nothing or what is unknown."""
    if not names:
        raise ValueError(f"no {what} is named; expected some of {list(known)}.")
    if unknown := [name for name in names if name not in known]:
        raise ValueError(
            f"unknown {what} {unknown[0]!r}; expected some of {list(known)}."
        )


def numbers(flag: str, texts: Sequence[str] | None) -> list[float]:
    """The numbers of a list on the command line, each at least 0."""
    try:
        values = [float(text) for text in texts or ()]
    except ValueError as error:
        raise ValueError(
            f"--{flag}: expected numbers such as 0,10,20, got {texts}."
        ) from error
    if not all(0 <= value < np.inf for value in values):
        raise ValueError(f"--{flag}: each must be finite and at least 0, got {texts}.")
    return values


if __name__ == "__main__":
    flags.DEFINE_string("dataset", "digits", "'digits' or the name of a TFDS dataset.")
    flags.DEFINE_list("variants", None, "MagNet variants [D,D+JSD].")
    flags.DEFINE_list("attacks", "cw,ead", "Attacks.")
    flags.DEFINE_list("confidences", None, "Values of kappa [as the preset].")
    flags.DEFINE_list("betas", None, "EAD's weights of the L1 norm [as the preset].")
    flags.DEFINE_integer("num_examples", None, "Images [as the preset].", lower_bound=1)
    flags.DEFINE_enum(
        "preset", "quick", sorted(PRESETS), "How large the evaluation is."
    )
    flags.DEFINE_enum(
        "search",
        None,
        ["exact", "primal_dual"],
        "Over c: as published, or for a twentieth of the gradients [as the preset].",
    )
    flags.DEFINE_string("output_dir", None, "Results [runs/<dataset>-<preset>].")
    flags.DEFINE_string(
        "models_dir",
        None,
        "Trained models, 'zoo': those of the package [<output_dir>/models].",
    )
    flags.DEFINE_string("classifier", None, "Your own classifier, a .keras file.")
    flags.DEFINE_string("defence", None, "Your own MagNet, a .keras file.")
    flags.DEFINE_list(
        "modules",
        [],
        "Modules to import first: they register your classes and attacks.",
    )
    flags.DEFINE_integer("seed", 0, "Of everything random.", lower_bound=0)
    app.run(main)
