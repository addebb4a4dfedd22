"""Adversarial examples on disk, judged by the original's models or a user's own defence.

The printed lines, the accuracies and the figure are those of `test_defense.py`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
import matplotlib.figure
import numpy as np

from attacks.result import measured
from eval import attack_files, figures
from eval.arguments import FlagError, check_names, imported
from eval.attack_files import AttackFile, AttackFileError
from eval.grid import CONFIDENCE
from eval.metrics import mean_over
from eval.publication import write_rows
from eval.published_mnist import MNIST, load_mnist
from eval.results import scores
from eval.store import Store
from magnet_tf import MagNet, legacy, saved, variants
from magnet_tf.arrays import fits, predicted
from magnet_tf.errors import UserError
from magnet_tf.magnet import check_logits
from magnet_tf.outcomes import Outcome

# The original's name for its attack data, and the attack and rule that made it.
ATTACK = "example_carlini"
MADE_BY = {ATTACK: ("cw", "L2")}
SHAPE = (28, 28, 1)  # of MNIST's images, which the original's files are for
# The flags that results depend on.
SETTINGS = ("data_dir", "variant", "drop_rates", "examples", "labels", "defence")


class Defence(NamedTuple):
    """What the examples are tried on.

    Attributes:
        name: of the variant, or of the user's file.
        magnet: uncalibrated, unless it is a user's own.
        drop_rates: to calibrate it with; None where it is a user's own.
    """

    name: str
    magnet: MagNet
    drop_rates: Mapping[str, float] | None


class Examples(NamedTuple):
    """Adversarial examples, and what they were made of.

    Attributes:
        file: that holds them.
        labels: the true classes, int64 [N].
        clean: float32 [N, H, W, C]; None where it is not known.
    """

    file: AttackFile
    labels: np.ndarray
    clean: np.ndarray | None


def judge(args: Any) -> list[dict]:
    """Judges what the flags of `eval.original` name; prints, writes and draws the results.

    Returns:
        The rows of `results.json`, one for each file of examples.

    Raises:
        UserError: a flag or a file is not what it should be; nothing was written then.
    """
    check_flags(args)
    for module in args.modules or ():
        imported(module)
    directory = Path(args.data_dir) if args.data_dir else None
    defence = load_defence(args)
    attacked = load_files(args, directory)
    check_shapes(defence.magnet, attacked, directory)
    mnist = load_mnist(directory, attacked) if directory else None
    examples = [made_of(file, mnist) for file in attacked]
    check_classes(defence.magnet, examples)
    output_dir = Path(args.output_dir or f"runs/original-{defence.name}")
    with Store(output_dir, {name: args[name].value for name in SETTINGS}):
        if mnist and defence.drop_rates:
            defence.magnet.calibrate(mnist.validation.images, defence.drop_rates)
        clean = Outcome.of(defence.magnet, *mnist.test) if mnist else None
        print(header(defence, clean))
        rows = []
        for one in examples:
            outcome = Outcome.of(defence.magnet, one.file.images, one.labels)
            print(section(defence.magnet, one.file, outcome))
            rows.append(row(defence.name, one, outcome, clean))
        publish(rows, output_dir)
    return rows


def check_flags(args: Any) -> None:
    """Raises FlagError where the flags do not say what is to be judged by what."""
    if not (args.data_dir or args.defence):
        raise FlagError(
            "by what are examples judged? --data_dir=DIR is a folder with the original's "
            "files, --defence=FILE a MagNet of your own."
        )
    if args.defence and (args.variant or args.drop_rates):
        raise FlagError(
            "--variant and --drop_rates are for a defence built of the original's files; "
            "the one in --defence has its detectors and thresholds."
        )
    if not (args.data_dir or args.examples):
        raise FlagError("--examples=FILE is missing: what is --defence to judge?")


# The defence


def load_defence(args: Any) -> Defence:
    """The user's own defence, or a variant of the original's models.

    Raises:
        UserError: there is no such variant, detector or rate, or a file is missing, damaged
            or something else.
    """
    if args.defence:
        path = Path(args.defence)
        return Defence(path.stem, saved.load_defence(path), None)
    name, known = args.variant or "D", variants.VARIANTS["mnist"]
    check_names("variant", [name], known)
    variant, directory = known[name], Path(args.data_dir)
    rates = changed_rates(variant.drop_rates, args.drop_rates or [])
    classifier = legacy.load_model(directory / "models/example_classifier")
    autoencoders = {
        part: legacy.load_model(directory / f"defensive_models/MNIST_{part}")
        for part in variant.autoencoders
    }
    return Defence(name, variant.build(classifier, autoencoders), rates)


def changed_rates(published: Mapping[str, float], texts: Sequence[str]) -> dict:
    """Drop rates {detector: share}, changed by texts such as 'I=0.01'."""
    rates = dict(published)
    for text in texts:
        name, _, value = text.partition("=")
        try:
            rate = float(value)
        except ValueError:
            rate = np.nan
        if name not in rates or not 0 <= rate < 1:
            example = ",".join(f"{key}={value:g}" for key, value in published.items())
            raise FlagError(
                f"--drop_rates: expected this variant's detectors with rates in [0, 1), "
                f"such as {example}, got {text!r}."
            )
        rates[name] = rate
    return rates


# The examples


def load_files(args: Any, directory: Path | None) -> list[AttackFile]:
    """The files of examples that are named, or else the original's, by rising confidence.

    Raises:
        AttackFileError, LegacyError: a file is not as `attack_files.load` needs it.
    """
    paths = [Path(path) for path in args.examples or ()]
    if directory and not paths:
        paths = sorted(directory.glob(f"attack_data/{ATTACK}_*.pkl"))
        if not paths:
            raise AttackFileError(
                f"{directory}/attack_data holds no {ATTACK}_<kappa>.pkl; --examples names "
                "other files."
            )
    attacked = [attack_files.load(path) for path in paths]
    if args.labels:
        attacked = [file.labelled(Path(args.labels)) for file in attacked]
    return sorted(attacked, key=lambda file: (file.name, file.confidence or 0))


def check_shapes(
    magnet: MagNet, attacked: Sequence[AttackFile], directory: Path | None
) -> None:
    """Raises UserError where images are not of the size that the defence takes."""
    shape = magnet.image_shape
    if directory and not fits(SHAPE, shape):
        raise FlagError(
            f"the defence takes images of shape {shape}, but the original's files are for "
            f"MNIST's {SHAPE}; leave --data_dir out."
        )
    wanted = SHAPE if directory else shape
    for file in attacked:
        if not fits(file.images.shape[1:], wanted):
            raise AttackFileError(
                f"{file.path} must hold images of shape {wanted}, as the defence takes "
                f"them, got {file.images.shape[1:]}."
            )


def check_classes(magnet: MagNet, examples: Sequence[Examples]) -> None:
    """Raises UserError where labels are none of the classifier's, or it gives no logits."""
    for file, labels, _ in examples:
        logits = predicted(magnet.classifier, file.images)
        try:
            check_logits(logits)
        except ValueError as error:
            raise UserError(f"of the images in {file.path} {error}") from error
        if labels.max() >= logits.shape[1]:
            raise AttackFileError(
                f"the labels of {file.path} must lie in 0..{logits.shape[1] - 1}, the "
                f"classifier's classes, got {labels.max()}."
            )


def made_of(file: AttackFile, mnist: MNIST | None) -> Examples:
    """A file's examples with its own labels, or with those that the index gives."""
    if file.labels is not None:
        return Examples(file, file.labels, None)
    if mnist is None:
        raise AttackFileError(
            f"{file.path} has no labels; --labels names a .npy or .pkl file with them, or "
            f"{attack_files.SAVE_IT}."
        )
    images, labels = (values[mnist.attacked] for values in mnist.test)
    return Examples(file, labels, images)


# The results


def header(defence: Defence, clean: Outcome | None) -> str:
    """What is printed first, as the original does, of the defence and clean images."""
    lines = ["=" * 58]
    if defence.drop_rates:
        lines.append(f"Drop Rate: {defence.drop_rates}")
    lines.append(f"Thresholds: {defence.magnet.thresholds}")
    if clean:
        both = clean.accuracies(attacked=False).both
        lines.append(f"Classification accuracy with all defense on: {both}")
        lines.append(f"Clean test images: {described(defence.magnet, clean, False)}")
    return "\n".join(lines)


def section(magnet: MagNet, file: AttackFile, outcome: Outcome) -> str:
    """What is printed of a file: the original's lines, and the four accuracies."""
    lines = ["-" * 58]
    if file.name != ATTACK:
        lines.append(f"Examples: {file.path}")
    if file.confidence is not None:
        lines.append(f"Confidence: {file.confidence}")
    lines.append(str(passing(magnet, outcome)))
    lines.append(described(magnet, outcome, attacked=True))
    if failed := int(file.failed.sum()):
        lines.append(
            f"{failed} of them are of a single value, as the attacks' codes return what they "
            "failed on; judged like the others, as the original does"
        )
    return "\n".join(lines)


def passing(magnet: MagNet, outcome: Outcome) -> dict[str, int]:
    """How many inputs pass each detector."""
    return {
        name: int(np.sum(outcome.marks[name] < threshold))
        for name, threshold in magnet.thresholds.items()
    }


def described(magnet: MagNet, outcome: Outcome, attacked: bool) -> str:
    """How many pass, and the four accuracies, in words."""
    result = outcome.accuracies(attacked)
    return (
        f"{outcome.passed.sum()} of {len(outcome.passed)} pass all detectors; accuracy: no "
        f"defence {result.none:.2%}, detectors {result.detector:.2%}, reformer "
        f"{result.reformer:.2%}, both {result.both:.2%}"
    )


def row(name: str, examples: Examples, outcome: Outcome, clean: Outcome | None) -> dict:
    """A row of results, with the keys of the oblivious evaluation's; None: not known."""
    file = examples.file
    attack, rule = MADE_BY.get(file.name, (file.name, None))
    count = len(outcome.passed)
    success = ~outcome.right & ~file.failed
    means: dict[str, float | None] = dict.fromkeys(("l1", "l2", "linf"))
    if examples.clean is not None:
        found = measured(examples.clean, file.images, success, np.zeros(count))
        means = {norm: mean_over(getattr(found, norm), success) for norm in means}
    undefended = clean.accuracies(attacked=False) if clean else None
    return {
        "dataset": "mnist" if clean else None,
        "variant": name,
        "attack": attack,
        "rule": rule,
        "beta": None,
        "confidence": file.confidence,
        "num_examples": count,
        "success_undefended": float(success.mean()),
        **scores(outcome),
        **{f"mean_{norm}": mean for norm, mean in means.items()},
        "clean_accuracy_none": undefended and undefended.none,
        "clean_accuracy_both": undefended and undefended.both,
        "seed": None,
        "parameter": None if file.confidence is None else CONFIDENCE,
        "value": file.confidence,
        "examples": str(file.path),
    }


def publish(rows: Sequence[dict], directory: Path) -> None:
    """Writes the rows, and draws them over kappa where that is known."""
    write_rows(directory, "results", rows)
    drawn = [row for row in rows if row["confidence"] is not None]
    path = directory / "defense_performance.png"
    if drawn:
        with matplotlib.rc_context(figures.STYLE):
            figures.save(figure(drawn), path)
    print(
        f"{directory} has results.json and results.csv"
        + (f"; {path.name} shows the accuracies over kappa." if drawn else ".")
    )


def figure(rows: Sequence[dict]) -> matplotlib.figure.Figure:
    """The demo's figure: accuracy over kappa, four curves."""
    drawn = figures.accuracy(rows)
    if rows[0]["dataset"] is None:
        drawn.suptitle(f"MagNet {rows[0]['variant']}")
    return drawn
