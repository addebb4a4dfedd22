"""Trained models that come with the package, each with a card that says what it is.

A dataset's folder holds `classifier.keras`, `autoencoder_<name>.keras` and, for each MagNet
variant, its thresholds; beside each lies a card, `<name>.json`, written by `train.zoo`.
MNIST's has packs, too, `pack_<name>.keras`, and in `attacker` those that a gray-box attacker
trained, for `eval.adaptive --pack=8`.
"""

from collections.abc import Iterable
from pathlib import Path

import keras

from magnet_tf import cards, variants
from magnet_tf.errors import UserError
from magnet_tf.magnet import MagNet

ROOT = Path(__file__).parent


class ZooError(UserError, RuntimeError):
    """The zoo does not have what was asked for, or a file of it is damaged."""


def load(dataset: str, variant: str) -> MagNet:
    """A calibrated MagNet of trained models; `.classifier` is the undefended one.

    Args:
        dataset: "digits", "mnist", "fashion_mnist" or "cifar10".
        variant: such as "D" or "D+JSD".

    Raises:
        ZooError: there is no such entry, or one of its files is damaged or missing.
    """
    return load_each(dataset, [variant])[variant]


def load_each(dataset: str, names: Iterable[str]) -> dict[str, MagNet]:
    """Several variants of a dataset by name, as by `load`; they share their models.

    Args:
        dataset: "digits", "mnist", "fashion_mnist" or "cifar10".
        names: of the variants.

    Raises:
        ZooError: as `load`.
    """
    models: dict[str, keras.Model] = {}
    return {name: _load(dataset, name, models) for name in names}


def _load(dataset: str, variant: str, models: dict[str, keras.Model]) -> MagNet:
    """A variant of models {SHA-256: model}, to which those are added that it needs."""
    if (dataset, variant) not in entries():
        raise ZooError(
            f"the zoo has no MagNet {variant!r} for {dataset!r}; it has {entries()}."
        )
    folder = ROOT / dataset
    spec = variants.VARIANTS[dataset][variant]
    try:
        card = cards.read(folder / f"{variant}.json")
        for stem, digest in card["sha256"].items():
            if digest not in models:
                models[digest] = _model(folder / f"{stem}.keras", digest)
    except (cards.CardError, OSError) as error:
        raise ZooError(f"{error} Install the package again.") from error
    own = {stem: models[digest] for stem, digest in card["sha256"].items()}
    autoencoders = {name: own[f"autoencoder_{name}"] for name in spec.autoencoders}
    magnet = spec.build(own["classifier"], autoencoders)
    magnet.set_thresholds(card["thresholds"])
    return magnet


def _model(path: Path, fingerprint: str) -> keras.Model:
    """A model of the zoo, if it is the one that the thresholds of a MagNet belong to."""
    trained = cards.load(path)
    if trained.fingerprint != fingerprint:
        raise cards.DamagedError(
            f"{path} is damaged: it is not the model on the card of its MagNet."
        )
    return trained.model


def entries() -> list[tuple[str, str]]:
    """Every (dataset, variant) that `load` has."""
    return [
        (dataset, variant)
        for dataset, known in variants.VARIANTS.items()
        for variant in known
        if (ROOT / dataset / f"{variant}.json").exists()
    ]
