"""The defences of an evaluation: MagNet variants on trained models, or a user's own file."""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import keras

from eval.models import Models
from magnet_tf import MagNet, datasets, files, saved, variants


@dataclasses.dataclass(frozen=True)
class Defence:
    """A calibrated MagNet that is made when it is first needed.

    Attributes:
        detectors: their names.
        settings: what tells it from other defences.
        magnet: makes or loads it; again and again the same one.
    """

    detectors: list[str]
    settings: dict
    magnet: Callable[[], MagNet]


def trained_defence(
    name: str,
    variant: variants.Variant,
    classifier: keras.Model,
    models: Models,
    validation: datasets.Split,
    directory: Path,
) -> Defence:
    """A variant around a classifier, saved in a directory as `defended_<variant>.keras`."""
    autoencoders, fingerprints = models.autoencoders(variant.autoencoders)

    @functools.cache
    def magnet() -> MagNet:
        built = variant.build(classifier, autoencoders)
        built.calibrate(validation.images, variant.drop_rates)
        files.write(directory / f"defended_{name}.keras", built.save)
        return built

    settings = {"variant": dataclasses.asdict(variant), "autoencoders": fingerprints}
    return Defence(list(variant.detectors), settings, magnet)


def saved_defence(path: Path) -> Defence:
    """The defence that a user saved with `magnet.save`."""
    magnet = saved.load_defence(path)
    return Defence(list(magnet.detectors), {"file": files.sha256(path)}, lambda: magnet)
