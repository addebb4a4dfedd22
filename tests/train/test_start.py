"""The start of a wide autoencoder's training."""

import keras
import numpy as np
import pytest

from magnet_tf.autoencoders import denoising_autoencoder
from train.start import normalise


@pytest.mark.parametrize("structure", [(16,), (16, "average", 16)])
def test_every_hidden_filters_sums_vary_by_one_around_zero(structure):
    images = np.random.RandomState(0).uniform(size=(9, 12, 8, 1)).astype(np.float32)
    keras.utils.set_random_seed(0)
    model = denoising_autoencoder(structure, images.shape[1:])
    last = model.layers[-1].get_weights()
    normalise(model, images)
    convolutions = [layer for layer in model.layers if "conv" in layer.name]
    for layer in convolutions[:-1]:
        said = np.asarray(keras.Model(model.input, layer.output)(images))
        sums = np.log(said / (1 - said))  # the sigmoid's inverse
        assert sums.mean(axis=(0, 1, 2)) == pytest.approx(np.zeros(16), abs=1e-3)
        assert sums.std(axis=(0, 1, 2)) == pytest.approx(np.ones(16), abs=1e-3)
    for one, other in zip(convolutions[-1].get_weights(), last, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_filter_that_sees_nothing_stays_finite():
    model = denoising_autoencoder((4,), (6, 6, 1))
    normalise(model, np.zeros((2, 6, 6, 1), np.float32))
    assert all(np.isfinite(weights).all() for weights in model.get_weights())
