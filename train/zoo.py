"""Fills the zoo from finished models: `python -m train.zoo --dataset=mnist`.

Copies the models of `models/<dataset>` into the package, without their optimizers, and
calibrates every variant whose autoencoders are there; each file gets a card.
"""

import json
import time
from pathlib import Path

import numpy as np
from absl import app, flags, logging

from magnet_tf import datasets, files, variants, zoo
from magnet_tf.arrays import predicted
from train import loop


def fill(name: str, source: Path, target: Path) -> list[str]:
    """Fills the zoo's folder of a dataset.

    Args:
        name: the dataset. source: holds `classifier.keras` and `autoencoder_<name>.keras`,
            as `train` left them. target: the folder to fill.

    Returns:
        The variants that are there now.

    Raises:
        ValueError: there is no finished classifier.
    """
    dataset = datasets.load(name)
    target.mkdir(parents=True, exist_ok=True)
    classifier = copy(source / "classifier.keras", target, name)
    if classifier is None:
        raise ValueError(f"{source} holds no finished classifier.keras.")
    labels = dataset.test.labels
    logits = predicted(classifier, dataset.test.images)
    accuracy = float(np.mean(logits.argmax(axis=1) == labels))
    done = []
    for variant, spec in variants.VARIANTS[name].items():
        autoencoders = {
            key: copy(source / f"autoencoder_{key}.keras", target, name)
            for key in spec.autoencoders
        }
        if any(model is None for model in autoencoders.values()):
            (target / f"{variant}.json").unlink(missing_ok=True)  # of other models
            continue
        magnet = spec.build(classifier, autoencoders)
        magnet.calibrate(dataset.validation.images, spec.drop_rates)
        verdict = magnet.judge(dataset.test.images)
        right = verdict.logits.argmax(axis=1) == labels
        card = {
            "dataset": name,
            "variant": variant,
            "drop_rates": spec.drop_rates,
            "thresholds": magnet.thresholds,
            "sha256": {
                stem: files.sha256(target / f"{stem}.keras")
                for stem in ("classifier", *(f"autoencoder_{n}" for n in autoencoders))
            },
            "test_accuracy_none": accuracy,
            "test_accuracy_both": float(np.mean(right & verdict.passed)),
            "command": " ".join(["python", "-m", *loop.command()]),
            "date": time.strftime("%Y-%m-%d"),
        }
        files.write_text(target / f"{variant}.json", json.dumps(card, indent=1))
        done.append(variant)
    return done


def copy(source: Path, target: Path, name: str):
    """The finished model at `source`, copied with its card; None where there is none.

    A copy that is there already stays: written again, its file would be another.
    """
    model = loop.trained(source, dataset=name)
    if model is None:
        return None
    path, card_path = target / source.name, target / f"{source.stem}.json"
    card = json.loads(source.with_suffix(".json").read_text())
    there = json.loads(card_path.read_text()) if loop.trained(path) else {}
    if {**card, "sha256": there.get("sha256")} != there:
        files.write(path, model.save)
        card["sha256"] = files.sha256(path)
        files.write_text(card_path, json.dumps(card, indent=1))
    return model


def main(_) -> None:
    """The command: fills the zoo's folder of a dataset."""
    args = flags.FLAGS
    logging.set_verbosity(logging.ERROR)
    source = Path(args.models_dir or f"models/{args.dataset}")
    try:
        if args.dataset not in variants.VARIANTS:
            raise ValueError(f"the zoo has {sorted(variants.VARIANTS)} only.")
        done = fill(args.dataset, source, zoo.ROOT / args.dataset)
    except (datasets.DatasetError, ValueError, OSError) as error:
        raise SystemExit(f"train.zoo: {error}") from error
    print(f"{zoo.ROOT / args.dataset}: {', '.join(done)}")


if __name__ == "__main__":
    flags.DEFINE_string("dataset", "digits", "digits, mnist or cifar10.")
    flags.DEFINE_string("models_dir", None, "Trained models [models/<dataset>].")
    app.run(main)
