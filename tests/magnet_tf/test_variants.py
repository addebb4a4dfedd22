"""The variants against the papers' tables."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import layers

from magnet_tf import DivergenceDetector, ReconstructionDetector
from magnet_tf.variants import VARIANTS, Autoencoder, autoencoders

# The reformer's structure and noise; of each detector its kind, p or temperature, drop
# rate and structure.
MNIST = {
    "D": {
        "reformer": ((3, "average", 3), 0.1),
        "I": ("reconstruction", 2, 0.001, (3, "average", 3)),
        "II": ("reconstruction", 1, 0.001, (3,)),
    },
    "D+JSD": {
        "reformer": ((3, "average", 3), 0.1),
        "I": ("reconstruction", 2, 0.001, (3, "average", 3)),
        "II": ("reconstruction", 1, 0.001, (3,)),
        "JSD10": ("divergence", 10.0, 0.01, (3, "average", 3)),
        "JSD40": ("divergence", 40.0, 0.01, (3, "average", 3)),
    },
    "D+256": {
        "reformer": ((256, "average", 256), 0.1),
        "I": ("reconstruction", 2, 0.001, (256, "average", 256)),
        "II": ("reconstruction", 1, 0.001, (256,)),
    },
    "D+256+JSD": {
        "reformer": ((256, "average", 256), 0.1),
        "I": ("reconstruction", 2, 0.001, (256, "average", 256)),
        "II": ("reconstruction", 1, 0.001, (256,)),
        "JSD10": ("divergence", 10.0, 0.01, (256, "average", 256)),
        "JSD40": ("divergence", 40.0, 0.01, (256, "average", 256)),
    },
}
CIFAR10 = {
    "D": {
        "reformer": ((3,), 0.025),
        "I": ("reconstruction", 1, 0.005, (3,)),
        "JSD10": ("divergence", 10.0, 0.01, (3,)),
        "JSD40": ("divergence", 40.0, 0.01, (3,)),
    },
    "D+256": {
        "reformer": ((256,), 0.025),
        "I": ("reconstruction", 1, 0.005, (256,)),
        "JSD10": ("divergence", 10.0, 0.01, (256,)),
        "JSD40": ("divergence", 40.0, 0.01, (256,)),
    },
}


def described(variant) -> dict:
    """A variant in the tables' form."""
    reformer = variant.autoencoders[variant.reformer]
    table = {"reformer": (reformer.structure, reformer.noise)}
    for name, detector in variant.detectors.items():
        values = dataclasses.asdict(detector)
        kind = "reconstruction" if "p" in values else "divergence"
        number = values.get("p") or values.get("temperature")
        structure = variant.autoencoders[detector.autoencoder].structure
        table[name] = (kind, number, detector.drop_rate, structure)
    return table


@pytest.mark.parametrize(
    ("name", "tables"),
    [("mnist", MNIST), ("fashion_mnist", MNIST), ("cifar10", CIFAR10)],
)
def test_variants_are_the_papers(name, tables):
    assert {key: described(v) for key, v in VARIANTS[name].items()} == tables


@pytest.mark.parametrize("tables", VARIANTS.values(), ids=VARIANTS)
def test_an_autoencoders_name_means_one_thing_in_a_dataset(tables):
    """Trained models are found by it, and shared between variants."""
    known = {}
    for variant in tables.values():
        for name, spec in variant.autoencoders.items():
            assert known.setdefault(name, spec) == spec


def test_the_autoencoders_of_a_dataset():
    assert set(autoencoders("mnist")) == {"I", "II", "I-256", "II-256"}
    assert autoencoders("cifar10")["I-256"] == Autoencoder((256,), 0.025)


def test_digits_are_defended_as_mnist_is_but_for_the_drop_rates():
    for name, table in MNIST.items():
        variant = VARIANTS["digits"][name]
        assert variant.autoencoders == VARIANTS["mnist"][name].autoencoders
        assert list(variant.detectors) == list(table)[1:]
        # of 300 validation images, MNIST's drop rate would drop none
        assert all(int(300 * rate) >= 1 for rate in variant.drop_rates.values())


def test_a_variant_builds_its_magnet():
    shape = (4, 4, 1)
    classifier = keras.Sequential(
        [layers.Input(shape), layers.Flatten(), layers.Dense(3)]
    )
    autoencoders = {
        "I": keras.Sequential([layers.Input(shape), layers.Rescaling(0.5)]),
        "II": keras.Sequential([layers.Input(shape), layers.Rescaling(0.75)]),
    }
    variant = VARIANTS["digits"]["D+JSD"]
    magnet = variant.build(classifier, autoencoders)
    assert list(magnet.detectors) == ["I", "II", "JSD10", "JSD40"]
    assert magnet.classifier is classifier
    assert magnet.reformer.autoencoder is autoencoders["I"]
    for name, p in (("I", 2), ("II", 1)):
        detector = magnet.detectors[name]
        assert isinstance(detector, ReconstructionDetector) and detector.p == p
        assert detector.autoencoder is autoencoders[name]
    for name, temperature in (("JSD10", 10), ("JSD40", 40)):
        detector = magnet.detectors[name]
        assert isinstance(detector, DivergenceDetector)
        assert detector.temperature == temperature
        assert detector.autoencoder is autoencoders["I"]
        assert detector.classifier is classifier
    x = np.random.RandomState(0).uniform(size=(300, *shape)).astype(np.float32)
    magnet.calibrate(x, variant.drop_rates)
    assert 288 <= magnet.judge(x).passed.sum() <= 297  # each drops 3 of 300
