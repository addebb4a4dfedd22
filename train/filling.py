"""Filling the zoo: finished models are copied into it, and its variants are calibrated."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from magnet_tf import cards, datasets, variants
from magnet_tf.outcomes import Outcome
from train.errors import TrainingError
from train.provenance import provenance


def fill(name: str, source: Path, target: Path) -> list[str]:
    """Fills the zoo's folder of a dataset.

    Args:
        name: the dataset.
        source: holds `classifier.keras` and `autoencoder_<name>.keras`, as `train` left
            them; it may hold `pack_<name>.keras`, and in `attacker` those of a gray-box
            attacker.
        target: the folder to fill.

    Returns:
        The variants that are there now.

    Raises:
        TrainingError: the dataset has no variants, or there is no finished classifier.
        CardError: a model is damaged, was trained on other data or not here, or is an
            autoencoder of another kind than its name says.
    """
    if name not in variants.VARIANTS:
        raise TrainingError(
            f"{name!r} has no variants of its own; expected one of "
            f"{sorted(variants.VARIANTS)}."
        )
    dataset = datasets.load(name)
    target.mkdir(parents=True, exist_ok=True)
    classifier = copy(source / "classifier.keras", target, name)
    if classifier is None:
        raise TrainingError(f"{source} holds no finished classifier.keras.")
    for folder in (Path(), Path("attacker")):
        for key, asked in variants.autoencoders(name).items():
            pack = folder / f"pack_{key}.keras"
            copy(source / pack, target / folder, name, **vars(asked))
    measured: dict[str, tuple[dict[str, float], Outcome]] = {}
    done = []
    for variant, spec in variants.VARIANTS[name].items():
        found = {
            key: copy(source / f"autoencoder_{key}.keras", target, name, **vars(asked))
            for key, asked in spec.autoencoders.items()
        }
        autoencoders = {key: one for key, one in found.items() if one}
        card_path = target / f"{variant}.json"
        if len(autoencoders) < len(found):
            card_path.unlink(missing_ok=True)  # of other models
            continue
        whole = _whole(spec, variants.VARIANTS[name])
        if whole not in measured:
            measured[whole] = _measured(
                variants.VARIANTS[name][whole], classifier, autoencoders, dataset
            )
        thresholds, outcome = _part(*measured[whole], spec)
        accuracies = outcome.accuracies(attacked=False)
        card = {
            "dataset": name,
            "variant": variant,
            "drop_rates": spec.drop_rates,
            "thresholds": thresholds,
            "sha256": {"classifier": classifier.fingerprint}
            | {f"autoencoder_{k}": one.fingerprint for k, one in autoencoders.items()},
            "test_accuracy_none": accuracies.none,
            "test_accuracy_both": accuracies.both,
            **provenance(),
        }
        cards.write(card_path, card)
        done.append(variant)
    return done


def _whole(spec: variants.Variant, known: Mapping[str, variants.Variant]) -> str:
    """The variant that has all of another's detectors, and the most; it is measured once."""
    parts = spec.autoencoders, spec.reformer
    having = [
        name
        for name, other in known.items()
        if (other.autoencoders, other.reformer) == parts
        and spec.detectors.items() <= other.detectors.items()
    ]
    return max(having, key=lambda name: len(known[name].detectors))


def _measured(
    spec: variants.Variant,
    classifier: cards.Trained,
    autoencoders: Mapping[str, cards.Trained],
    dataset: datasets.Dataset,
) -> tuple[dict[str, float], Outcome]:
    """A variant's thresholds, and what it makes of the test images."""
    models = {name: trained.model for name, trained in autoencoders.items()}
    magnet = spec.build(classifier.model, models)
    magnet.calibrate(dataset.validation.images, spec.drop_rates)
    return magnet.thresholds, Outcome.of(magnet, *dataset.test)


def _part(
    thresholds: Mapping[str, float], outcome: Outcome, spec: variants.Variant
) -> tuple[dict[str, float], Outcome]:
    """The same with a variant's detectors alone."""
    thresholds = {name: thresholds[name] for name in spec.detectors}
    passed = [outcome.marks[name] < value for name, value in thresholds.items()]
    return thresholds, dataclasses.replace(outcome, passed=np.all(passed, axis=0))


def copy(
    source: Path, target: Path, name: str, **asked: object
) -> cards.Trained | None:
    """The finished model at `source`, copied with its card; None where there is none.

    A copy that is there already stays: written again, its file would be another.

    Args:
        source: of the model. target: a folder. name: of the dataset it must be trained on.
        asked: what else its card must say.

    Raises:
        CardError: the model or its card is damaged, or it was trained otherwise or not here.
    """
    if not source.exists():
        return None
    trained = cards.load(source, dataset=name, **asked)
    path = target / source.name
    path.parent.mkdir(exist_ok=True)
    try:
        there = cards.checked(path)
    except cards.DamagedError:  # or missing
        there = {}
    if {**trained.card, "sha256": there.get("sha256")} != there:
        return cards.save(path, trained.model, trained.card)
    return cards.Trained(trained.model, there, there["sha256"])
