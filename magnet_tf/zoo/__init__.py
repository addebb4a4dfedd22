"""Trained models that come with the package, each with a card that says what it is.

A dataset's folder holds `classifier.keras`, `autoencoder_<name>.keras` and, for each MagNet
variant, its thresholds; beside each lies a card, `<name>.json`, written by `train.zoo`.
"""

import hashlib
import json
from pathlib import Path

import keras

from magnet_tf import variants
from magnet_tf.magnet import MagNet

ROOT = Path(__file__).parent


class ZooError(RuntimeError):
    """The zoo does not have what was asked for, or a file of it is damaged."""


def load(dataset: str, variant: str) -> MagNet:
    """A calibrated MagNet of trained models; `.classifier` is the undefended one.

    Args:
        dataset: "digits", "mnist" or "cifar10".
        variant: such as "D" or "D+JSD".

    Raises:
        ZooError: there is no such entry, or a weight file differs from its card.
    """
    folder = ROOT / dataset
    card_path = folder / f"{variant}.json"
    if not card_path.exists():
        raise ZooError(
            f"the zoo has no MagNet {variant!r} for {dataset!r}; it has {entries()}."
        )
    card = json.loads(card_path.read_text())
    spec = variants.VARIANTS[dataset][variant]
    classifier = load_model(folder / "classifier.keras")
    autoencoders = {
        name: load_model(folder / f"autoencoder_{name}.keras")
        for name in spec.autoencoders
    }
    magnet = spec.build(classifier, autoencoders)
    magnet.set_thresholds(card["thresholds"])
    return magnet


def load_model(path: Path) -> keras.Model:
    """A model of the zoo; raises ZooError where the file differs from its card."""
    card = json.loads(path.with_suffix(".json").read_text())
    if hashlib.sha256(path.read_bytes()).hexdigest() != card["sha256"]:
        raise ZooError(
            f"{path} is damaged: its SHA-256 is not the one on its card. Install the "
            "package again."
        )
    return keras.saving.load_model(path, compile=False)


def entries() -> list[tuple[str, str]]:
    """Every (dataset, variant) that `load` has."""
    return [
        (dataset, variant)
        for dataset, known in variants.VARIANTS.items()
        for variant in known
        if (ROOT / dataset / f"{variant}.json").exists()
    ]
