"""Which 5,000 images validate: the figures of PARITY.md's section on it.

TFDS's, on which the zoo's thresholds and the golden ones were set, are tested elsewhere.
"""

import numpy as np
import pytest

from magnet_tf import datasets, variants, zoo

D = variants.VARIANTS["mnist"]["D"]


@pytest.fixture(scope="module")
def published(mnist) -> np.ndarray:
    """The first 5,000 training images of the published files, on which originals calibrate."""
    images = np.concatenate([mnist.validation.images, mnist.train.images])
    return images[datasets.published_order("train", len(images))[: datasets.VALIDATION]]


def test_thresholds_of_the_zoo(published):
    magnet = zoo.load("mnist", "D")
    magnet.calibrate(published, D.drop_rates)
    assert magnet.thresholds == pytest.approx(
        {"I": 0.0037618, "II": 0.0154328}, rel=2e-4
    )


def test_thresholds_of_the_original(published, originals):
    parts = {"I": originals.I, "II": originals.II}
    magnet = D.build(originals.classifier, parts)
    magnet.calibrate(published, D.drop_rates)
    assert magnet.thresholds == pytest.approx({"I": 0.01342, "II": 0.04100}, rel=2e-4)


def test_models_here_were_trained_on_most_published_validation_images():
    places = datasets.published_order("train", 60_000)[: datasets.VALIDATION]
    assert np.sum(places >= datasets.VALIDATION) == 4602
