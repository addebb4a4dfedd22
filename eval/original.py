"""The original demo on its own files: `python -m eval.original --data_dir=DIR`.

Whoever still has the support files of `Trevillie/MagNet` gets its numbers from them: what
`test_defense.py` prints, and its figure 'defense_performance'.
"""

from pathlib import Path

import matplotlib
import numpy as np
from absl import app, flags, logging

from eval import figures
from magnet_tf import MagNet, datasets, files, legacy, variants
from magnet_tf.outcomes import Outcome

ATTACK = "example_carlini_"
# The first test labels in the order of the files that MNIST is published in.
FIRST_LABELS = [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]


def load_parts(directory: Path) -> tuple[MagNet, np.ndarray, dict[float, np.ndarray]]:
    """The uncalibrated defence, the indices of the attacked images, and attacks by kappa.

    Raises:
        LegacyError: a file is missing or is not what its name promises.
    """
    classifier = legacy.load_model(directory / "models/example_classifier")
    autoencoders = {
        name: legacy.load_model(directory / f"defensive_models/MNIST_{name}")
        for name in ("I", "II")
    }
    magnet = variants.VARIANTS["mnist"]["D"].build(classifier, autoencoders)
    index = legacy.load_attack_data(directory / "attack_data/example_idx.pkl")
    attacks = {}
    for path in sorted(directory.glob(f"attack_data/{ATTACK}*.pkl")):
        examples = legacy.load_attack_data(path)
        if examples.shape != (len(index), 28, 28, 1):
            raise legacy.LegacyError(
                f"{path} must hold one example of 28x28x1 for each of the {len(index)} "
                f"indices in example_idx.pkl, got an array of shape {examples.shape}."
            )
        try:
            confidence = float(path.stem.removeprefix(ATTACK))
        except ValueError:
            raise legacy.LegacyError(
                f"{path} must have its confidence in its name, such as {ATTACK}10.0.pkl."
            ) from None
        # float32 leaves tanh's range by rounding
        if not ((examples >= -1e-3) & (examples <= 1 + 1e-3)).all():
            raise legacy.LegacyError(
                f"{path} must hold images in [0, 1], got values from {examples.min():g} to "
                f"{examples.max():g}."
            )
        attacks[confidence] = examples.clip(0, 1)
    if not attacks:
        raise legacy.LegacyError(
            f"{directory}/attack_data holds no {ATTACK}<kappa>.pkl."
        )
    return magnet, index, dict(sorted(attacks.items()))


def published_order(split: str, count: int) -> np.ndarray:
    """Where TFDS keeps each image of MNIST, in the order that MNIST is published in.

    TFDS stores examples by the hash of their index, salted with the split's name; the
    original reads the published files, and `example_idx.pkl` counts in their order.
    """
    from tensorflow_datasets.core import hashing

    hasher = hashing.Hasher(split)
    stored = sorted(range(count), key=hasher.hash_key)
    return np.argsort(stored)


def in_order(dataset: datasets.Dataset, examples: np.ndarray, index: np.ndarray):
    """Validation and test split in the order that the attack's indices count in.

    It is the published order or, for files made from TFDS, TFDS's own: the one in which the
    examples are near the images that they were made of.

    Args:
        dataset: MNIST. examples: [N, 28, 28, 1], the attack at its lowest confidence.
        index: int [N], of the attacked test images.
    """
    order = published_order("test", len(dataset.test.labels))
    test = datasets.Split(dataset.test.images[order], dataset.test.labels[order])
    if test.labels[: len(FIRST_LABELS)].tolist() != FIRST_LABELS:
        raise datasets.DatasetError(
            "this version of TFDS stores MNIST in an order that is not known here, so that "
            "example_idx.pkl cannot be read; use tensorflow-datasets 4.9.10."
        )

    def distance(split: datasets.Split) -> float:
        difference = examples - split.images[index]
        return float(np.median(np.sqrt((difference**2).sum(axis=(1, 2, 3)))))

    if distance(dataset.test) < distance(test):
        return dataset.validation, dataset.test
    training = np.concatenate([dataset.validation.images, dataset.train.images])
    labels = np.concatenate([dataset.validation.labels, dataset.train.labels])
    order = published_order("train", len(training))[: datasets.VALIDATION]
    return datasets.Split(training[order], labels[order]), test


def line(title: str, magnet: MagNet, outcome: Outcome, attacked: bool) -> str:
    """One line of what the original prints: how many pass, and the four accuracies."""
    result = outcome.accuracies(attacked)
    passing = [
        f"{name} {np.sum(outcome.marks[name] < threshold)}"
        for name, threshold in magnet.thresholds.items()
    ]
    return (
        f"{title}: pass {', '.join(passing)}, all {outcome.passed.sum()} of "
        f"{len(outcome.passed)}; accuracy: no defence {result.none:.2%}, detectors "
        f"{result.detector:.2%}, reformer {result.reformer:.2%}, both {result.both:.2%}"
    )


def main(_) -> None:
    """The command: what a user did wrong ends in one sentence."""
    args = flags.FLAGS
    logging.set_verbosity(logging.ERROR)
    try:
        run(Path(args.data_dir), Path(args.output_dir))
    except (datasets.DatasetError, legacy.LegacyError, OSError) as error:
        raise SystemExit(f"eval.original: {error}") from error


def run(data_dir: Path, output_dir: Path) -> list[dict]:
    """Prints and draws what the original's demo does; returns its figure's points."""
    magnet, index, attacks = load_parts(data_dir)
    dataset = datasets.load("mnist")
    if index.min() < 0 or index.max() >= len(dataset.test.labels):
        raise legacy.LegacyError(
            f"{data_dir}/attack_data/example_idx.pkl must hold indices of test images, "
            f"got {index.min()} to {index.max()}."
        )
    validation, test = in_order(dataset, next(iter(attacks.values())), index)
    magnet.calibrate(validation.images, variants.VARIANTS["mnist"]["D"].drop_rates)
    print(
        "thresholds: "
        + ", ".join(f"{name} {value:.6g}" for name, value in magnet.thresholds.items())
    )
    clean = Outcome.of(magnet, test.images, test.labels)
    print(line("clean test images", magnet, clean, attacked=False))
    points = []
    for confidence, examples in attacks.items():
        outcome = Outcome.of(magnet, examples, test.labels[index])
        print(line(f"C&W at confidence {confidence:g}", magnet, outcome, attacked=True))
        result = outcome.accuracies(attacked=True)
        points.append(
            {
                "dataset": "mnist",
                "variant": "D",
                "attack": "cw",
                "rule": "L2",
                "beta": None,
                "confidence": confidence,
                **{f"accuracy_{key}": v for key, v in result._asdict().items()},
            }
        )
    output_dir.mkdir(parents=True, exist_ok=True)
    path = output_dir / "defense_performance.png"
    with matplotlib.rc_context(figures.STYLE):
        files.write(path, figures.accuracy(points).savefig)
    print(f"{path} shows the accuracies.")
    return points


if __name__ == "__main__":
    flags.DEFINE_string("data_dir", None, "The folder with the original's files.")
    flags.DEFINE_string("output_dir", "runs/original", "Where the figure goes.")
    flags.mark_flag_as_required("data_dir")
    app.run(main)
