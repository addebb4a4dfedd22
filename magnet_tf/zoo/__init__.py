"""Trained models that come with the package, each with a card that says what it is.

A dataset's folder holds `classifier.keras`, `autoencoder_<name>.keras` and, for each MagNet
variant, its thresholds; beside each lies a card, `<name>.json`, written by `train.zoo`.
"""

import hashlib
import json
from pathlib import Path

import keras

from magnet_tf import variants
from magnet_tf.errors import UserError
from magnet_tf.magnet import MagNet

ROOT = Path(__file__).parent
AGAIN = "Install the package again."


class ZooError(UserError, RuntimeError):
    """The zoo does not have what was asked for, or a file of it is damaged."""


def load(dataset: str, variant: str) -> MagNet:
    """A calibrated MagNet of trained models; `.classifier` is the undefended one.

    Args:
        dataset: "digits", "mnist" or "cifar10".
        variant: such as "D" or "D+JSD".

    Raises:
        ZooError: there is no such entry, or one of its files is damaged or missing.
    """
    if (dataset, variant) not in entries():
        raise ZooError(
            f"the zoo has no MagNet {variant!r} for {dataset!r}; it has {entries()}."
        )
    folder = ROOT / dataset
    spec = variants.VARIANTS[dataset][variant]
    card = read_card(folder / f"{variant}.json", "thresholds", "sha256")

    def model(name: str) -> keras.Model:
        return load_model(folder / f"{name}.keras", card["sha256"].get(name))

    classifier = model("classifier")
    autoencoders = {name: model(f"autoencoder_{name}") for name in spec.autoencoders}
    magnet = spec.build(classifier, autoencoders)
    magnet.set_thresholds(card["thresholds"])
    return magnet


def read_card(path: Path, *keys: str) -> dict:
    """A card that has these keys; raises ZooError where there is none."""
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
        missing = [key for key in keys if key not in card]
    except (OSError, TypeError, ValueError) as error:
        raise ZooError(f"{path} is damaged ({error}). {AGAIN}") from error
    if missing:
        raise ZooError(f"{path} is damaged: it lacks {missing}. {AGAIN}")
    return card


def load_model(path: Path, sha256: str) -> keras.Model:
    """A model of the zoo; raises ZooError where its file is not the one with this digest."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ZooError(f"{path} cannot be read ({error.strerror}). {AGAIN}") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise ZooError(
            f"{path} is damaged: its SHA-256 is not the one on the card of its MagNet. "
            f"{AGAIN}"
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
