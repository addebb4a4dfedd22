"""What is evaluated: a dataset, its undefended classifier, and the defences around it."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from eval.models import Models, described
from magnet_tf import MagNet, cards, datasets, files, saved, variants, zoo
from magnet_tf.arrays import fits, image_shape, predicted
from magnet_tf.autoencoders import drawn
from magnet_tf.errors import UserError
from magnet_tf.magnet import check_logits


class SubjectError(UserError, ValueError):
    """A model is not for the dataset, or is asked for in two ways."""


@dataclass(frozen=True)
class Defence:
    """A calibrated MagNet that is made when it is first needed.

    Attributes:
        variant: of which it is one training.
        detectors: their names.
        settings: what tells it from other defences.
        magnet: makes or loads it; again and again the same one.
    """

    variant: str
    detectors: Sequence[str]
    settings: Mapping
    magnet: Callable[[], MagNet]


@dataclass(frozen=True)
class Subject:
    """What is evaluated.

    Attributes:
        dataset: its test images are attacked.
        classifier: the undefended one.
        fingerprint: tells it from others.
        defences: by name.
        made_by: how the models came about, {part: a line}.
    """

    dataset: datasets.Dataset
    classifier: keras.Model
    fingerprint: str
    defences: Mapping[str, Defence]
    made_by: Mapping[str, str]


def from_defence(path: Path, dataset: datasets.Dataset) -> Subject:
    """The defence that a user saved with `magnet.save`, and the classifier in it.

    Raises:
        SubjectError: the classifier is not for the dataset.
        SavedModelError, NotCalibratedError: as `saved.load_defence`.
    """
    magnet, fingerprint = saved.load_defence(path), files.sha256(path)
    check_fit(magnet.classifier, dataset)
    settings, made_by = {"file": fingerprint}, {"defence": str(path)}
    defence = Defence(path.stem, list(magnet.detectors), settings, lambda: magnet)
    return Subject(
        dataset, magnet.classifier, fingerprint, {path.stem: defence}, made_by
    )


def from_zoo(dataset: datasets.Dataset, names: Sequence[str]) -> Subject:
    """The zoo's variants with its own thresholds.

    Raises:
        SubjectError: the dataset is a user's own.
        ZooError: the zoo has no such entry, or a file of it is damaged.
    """
    if dataset.zoo is None:
        raise SubjectError(
            f"the zoo's models are of published datasets, {dataset.path} is data of your "
            "own; leave the folder of models out to train them."
        )
    magnets = zoo.load_each(dataset.zoo, names)
    folder = zoo.ROOT / dataset.zoo
    digests = {name: cards.read(folder / f"{name}.json")["sha256"] for name in names}
    defences = {
        name: Defence(
            name,
            list(magnet.detectors),
            {"thresholds": magnet.thresholds, "models": digests[name]},
            functools.partial(lambda of: of, magnet),
        )
        for name, magnet in magnets.items()
    }
    stems = {stem: None for of in digests.values() for stem in of}
    made_by = {
        stem.replace("_", " "): described(cards.read(folder / f"{stem}.json"))
        for stem in stems
    }
    first = names[0]
    classifier, fingerprint = magnets[first].classifier, digests[first]["classifier"]
    check_fit(classifier, dataset)
    return Subject(dataset, classifier, fingerprint, defences, made_by)


def from_models(models: Models, names: Sequence[str]) -> Subject:
    """Variants around a classifier, from models that are found or trained.

    Args:
        models: where they are, or are trained.
        names: of the variants.
    """
    dataset, known = models.dataset, variants.VARIANTS[models.dataset.like]
    classifier = models.classifier
    check_fit(classifier.model, dataset)
    defences = {name: built(name, classifier.model, models) for name in names}
    used = {key: of for name in names for key, of in known[name].autoencoders.items()}
    made_by = models.descriptions(used)
    return Subject(dataset, classifier.model, classifier.fingerprint, defences, made_by)


def with_others(
    base: Subject, others: Sequence[Models], names: Sequence[str]
) -> Subject:
    """The same with further trainings of its defences, around the same classifier.

    Args:
        base: to which they are added.
        others: where their autoencoders are, or are trained.
        names: of the variants.
    """
    further = {
        f"{name}-seed{models.seed}": built(name, base.classifier, models)
        for models in others
        for name in names
    }
    return dataclasses.replace(base, defences={**base.defences, **further})


def built(
    name: str,
    classifier: keras.Model,
    models: Models,
    stricter: float = 1,
    pick: int | None = None,
) -> Defence:
    """A variant around a classifier, calibrated on the dataset's validation images.

    Args:
        name: of the variant.
        classifier: the undefended one.
        models: where the autoencoders are, or are trained.
        stricter: what the variant's drop rates are multiplied by.
        pick: which autoencoder of each pack is used; None: what the models' seed draws, or
            what is no pack.
    """
    variant = variants.VARIANTS[models.dataset.like][name]
    autoencoders = models.autoencoders(variant.autoencoders)
    if models.pack and pick is None:
        pick = drawn(models.pack, models.seed)

    @functools.cache
    def magnet() -> MagNet:
        parts = {
            name: of.model if pick is None else of.model.autoencoders[pick]
            for name, of in autoencoders.items()
        }
        defence = variant.build(classifier, parts)
        rates = {d: stricter * rate for d, rate in variant.drop_rates.items()}
        defence.calibrate(models.dataset.validation.images, rates)
        return defence

    settings: dict[str, Any] = {
        "variant": dataclasses.asdict(variant),
        "autoencoders": {name: of.fingerprint for name, of in autoencoders.items()},
    }
    if stricter != 1:
        settings["stricter"] = stricter
    if pick is not None:
        settings["pick"] = pick
    return Defence(name, list(variant.detectors), settings, magnet)


def check_fit(classifier: keras.Model, dataset: datasets.Dataset) -> None:
    """That a classifier is for the dataset's images and classes.

    Raises:
        SubjectError: it is not.
    """
    wanted = image_shape(classifier)
    if not fits(dataset.image_shape, wanted):
        raise SubjectError(
            f"the classifier takes images of shape {wanted}, the dataset's have "
            f"{dataset.image_shape}."
        )
    logits = predicted(classifier, dataset.test.images[:16])
    check_logits(logits)
    if logits.shape[1] != dataset.num_classes:
        raise SubjectError(
            f"the classifier has {logits.shape[1]} classes, the dataset "
            f"{dataset.num_classes}."
        )
