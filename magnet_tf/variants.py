"""MagNet's variants, as data: which autoencoders, detectors and reformer each is made of.

Meng & Chen, CCS 2017, tables 3 and 4; Lu et al., DSN-W 2018 (arXiv 1805.00310), section III.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import keras

from magnet_tf.detectors import DivergenceDetector, ReconstructionDetector
from magnet_tf.magnet import MagNet
from magnet_tf.reformers import Reformer


@dataclass(frozen=True)
class Autoencoder:
    """A denoising autoencoder: its structure and the noise it is trained to remove."""

    structure: tuple[int | str, ...]
    noise: float


@dataclass(frozen=True)
class Reconstruction:
    """A `ReconstructionDetector` on the named autoencoder, and its drop rate."""

    autoencoder: str
    p: int
    drop_rate: float


@dataclass(frozen=True)
class Divergence:
    """A `DivergenceDetector` on the named autoencoder, and its drop rate."""

    autoencoder: str
    temperature: float
    drop_rate: float


@dataclass(frozen=True)
class Variant:
    """A MagNet as data: named autoencoders, which of them reforms, and the detectors."""

    autoencoders: Mapping[str, Autoencoder]
    reformer: str
    detectors: Mapping[str, Reconstruction | Divergence]

    @property
    def drop_rates(self) -> dict[str, float]:
        """{detector: drop rate}, as `MagNet.calibrate` takes them."""
        return {name: detector.drop_rate for name, detector in self.detectors.items()}

    def build(
        self, classifier: keras.Model, autoencoders: Mapping[str, keras.Model]
    ) -> MagNet:
        """The uncalibrated MagNet of a classifier and trained autoencoders {name: model}."""
        detectors = {}
        for name, spec in self.detectors.items():
            autoencoder = autoencoders[spec.autoencoder]
            if isinstance(spec, Reconstruction):
                detectors[name] = ReconstructionDetector(autoencoder, p=spec.p)
            else:
                detectors[name] = DivergenceDetector(
                    autoencoder, classifier, spec.temperature
                )
        return MagNet(classifier, Reformer(autoencoders[self.reformer]), detectors)


def _grey(filters: int, jsd: bool, drop_rate: float) -> Variant:
    """MNIST's defence: two autoencoders of a width with a detector each, the first reforms."""
    one, two = ("I", "II") if filters == 3 else (f"I-{filters}", f"II-{filters}")
    return Variant(
        autoencoders={
            one: Autoencoder((filters, "average", filters), noise=0.1),
            two: Autoencoder((filters,), noise=0.1),
        },
        reformer=one,
        detectors={
            "I": Reconstruction(one, p=2, drop_rate=drop_rate),
            "II": Reconstruction(two, p=1, drop_rate=drop_rate),
            **(_jsd(one) if jsd else {}),
        },
    )


def _colour(filters: int) -> Variant:
    """CIFAR-10's defence: one autoencoder of a width, behind every part."""
    one = "I" if filters == 3 else f"I-{filters}"
    return Variant(
        autoencoders={one: Autoencoder((filters,), noise=0.025)},
        reformer=one,
        detectors={"I": Reconstruction(one, p=1, drop_rate=0.005), **_jsd(one)},
    )


def _jsd(autoencoder: str) -> dict[str, Divergence]:
    return {
        "JSD10": Divergence(autoencoder, temperature=10.0, drop_rate=0.01),
        "JSD40": Divergence(autoencoder, temperature=40.0, drop_rate=0.01),
    }


def _grey_variants(drop_rate: float) -> dict[str, Variant]:
    return {
        "D": _grey(3, jsd=False, drop_rate=drop_rate),
        "D+JSD": _grey(3, jsd=True, drop_rate=drop_rate),
        "D+256": _grey(256, jsd=False, drop_rate=drop_rate),
        "D+256+JSD": _grey(256, jsd=True, drop_rate=drop_rate),
    }


VARIANTS = {
    "mnist": _grey_variants(drop_rate=0.001),
    "fashion_mnist": _grey_variants(drop_rate=0.001),
    "digits": _grey_variants(drop_rate=0.01),  # 0.001 of 300 validation images is none
    "cifar10": {"D": _colour(3), "D+256": _colour(256)},
}


def autoencoders(dataset: str) -> dict[str, Autoencoder]:
    """Every autoencoder that a dataset's variants ask for, by name."""
    return {
        name: spec
        for variant in VARIANTS[dataset].values()
        for name, spec in variant.autoencoders.items()
    }
