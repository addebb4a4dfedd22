"""The optimizers of the recipes, by their numbers."""

import keras
import numpy as np
import pytest

from train import optimizers
from train.recipes import Recipe


def test_annealed_adam_falls_from_the_recipes_rate_to_zero():
    recipe = Recipe(epochs=3, batch_size=8, peak_rate=0.5)
    rate = optimizers.annealed_adam(recipe, count=20)._learning_rate
    expected = [0.25 * (1 + np.cos(np.pi * step / 9)) for step in range(10)]
    np.testing.assert_allclose([float(rate(s)) for s in range(10)], expected, atol=1e-6)


def test_the_classifiers_is_the_originals():
    """SGD at 0.01 / (1 + 1e-6 step) with Nesterov momentum 0.9."""
    optimizer = optimizers.for_classifier(Recipe(epochs=1, batch_size=8), count=20)
    assert isinstance(optimizer, keras.optimizers.SGD)
    assert optimizer.momentum == 0.9 and optimizer.nesterov
    optimizer.build([keras.Variable(0.0)])
    for step in (0, 1, 1000, 250_000):
        optimizer.iterations.assign(step)
        rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
        assert rate == pytest.approx(0.01 / (1 + 1e-6 * step), rel=1e-6)


def test_the_autoencoders_is_adam_as_it_comes():
    optimizer = optimizers.for_autoencoder(Recipe(epochs=1, batch_size=8), count=20)
    assert isinstance(optimizer, keras.optimizers.Adam)
    values = optimizer.beta_1, optimizer.beta_2, optimizer.epsilon
    assert values == (0.9, 0.999, 1e-7)
    assert float(optimizer.learning_rate) == pytest.approx(1e-3)


@pytest.mark.parametrize("of", [optimizers.for_classifier, optimizers.for_autoencoder])
def test_a_rate_of_the_recipes_own(of):
    optimizer = of(Recipe(epochs=3, batch_size=8, peak_rate=0.5), 20)
    assert isinstance(optimizer, keras.optimizers.Adam)
    assert float(optimizer._learning_rate(9)) == pytest.approx(0, abs=1e-6)


def test_weights_decay_by_the_rate_and_biases_do_not():
    """Without a gradient, AdamW's step leaves 1 - rate * decay of a weight."""
    recipe = Recipe(epochs=1, batch_size=8, peak_rate=0.5, weight_decay=0.1)
    layer = keras.layers.Dense(2, bias_initializer="ones")
    layer.build([None, 3])
    kernel = keras.ops.convert_to_numpy(layer.kernel).copy()
    optimizer = optimizers.annealed_adam(recipe, count=8)
    optimizer.apply(
        [keras.ops.zeros(v.shape) for v in layer.trainable_variables],
        layer.trainable_variables,
    )
    got = [keras.ops.convert_to_numpy(v) for v in (layer.kernel, layer.bias)]
    np.testing.assert_allclose(got[0], 0.95 * kernel, rtol=1e-6)
    np.testing.assert_array_equal(got[1], 1)
