"""Denoising autoencoders against parameter counts by hand and convolutions by SciPy."""

import keras
import numpy as np
import pytest
from scipy.signal import correlate2d
from scipy.special import expit

from magnet_tf.autoencoders import StructureError, denoising_autoencoder
from magnet_tf.regularizers import BatchL1L2

GREY, COLOUR = (28, 28, 1), (32, 32, 3)


def layer_names(model: keras.Model) -> list[str]:
    """Kinds of layers, convolutions with their filters."""
    return [
        f"Conv2D {layer.filters}"
        if isinstance(layer, keras.layers.Conv2D)
        else type(layer).__name__
        for layer in model.layers[1:]
    ]


@pytest.mark.parametrize(
    ("structure", "layers"),
    [
        (
            [3, "average", 3],
            ["Conv2D 3", "AveragePooling2D", "Conv2D 3"]
            + ["Conv2D 3", "UpSampling2D", "Conv2D 3", "Conv2D 1"],
        ),
        ([3], ["Conv2D 3", "Conv2D 3", "Conv2D 1"]),
        (
            [4, "max", 5, "average"],
            ["Conv2D 4", "MaxPooling2D", "Conv2D 5", "AveragePooling2D"]
            + ["UpSampling2D", "Conv2D 5", "UpSampling2D", "Conv2D 4", "Conv2D 1"],
        ),
        ([], ["Conv2D 1"]),
    ],
)
def test_the_decoder_mirrors_the_encoder(structure, layers):
    assert layer_names(denoising_autoencoder(structure, GREY)) == layers


@pytest.mark.parametrize(
    ("structure", "shape", "parameters"),
    [
        # a 3x3 convolution from a to b channels has 9ab + b
        ([3, "average", 3], GREY, 30 + 84 + 84 + 84 + 28),
        ([3], GREY, 30 + 84 + 28),
        ([3], COLOUR, 84 + 84 + 84),
        ([256, "average", 256], GREY, 2560 + 3 * 590080 + 2305),
        ([256], COLOUR, 7168 + 590080 + 6915),
    ],
)
def test_parameter_counts(structure, shape, parameters):
    model = denoising_autoencoder(structure, shape)
    assert model.count_params() == parameters
    assert model.output_shape == (None, *shape)


@pytest.mark.parametrize("activity_l2", [1e-9, 4e-9])
def test_every_convolution_is_regularized(activity_l2):
    model = denoising_autoencoder([3, "average", 3], GREY, activity_l2)
    convolutions = [i for i in model.layers if isinstance(i, keras.layers.Conv2D)]
    assert len(convolutions) == 5
    for layer in convolutions:
        assert isinstance(layer.activity_regularizer, BatchL1L2)
        assert float(layer.activity_regularizer.l1) == 0
        assert float(layer.activity_regularizer.l2) == pytest.approx(activity_l2)


def test_an_autoencoder_of_a_pack_is_not_regularized():
    model = denoising_autoencoder([3], GREY, activity_l2=0)
    model(np.zeros((2, *GREY), np.float32))
    assert model.losses == []


@pytest.mark.parametrize("pool", ["average", "max"])
def test_reconstruction_is_scipys(pool):
    model = denoising_autoencoder([2, pool, 3], (6, 4, 1))
    random = np.random.RandomState(0)
    weights = [random.normal(0, 1, w.shape) for w in model.get_weights()]
    model.set_weights(weights)
    x = random.uniform(size=(6, 4, 1))

    def convolve(x, kernel, bias):
        planes = [
            sum(correlate2d(x[..., i], k[..., i], "same") for i in range(x.shape[-1]))
            for k in np.moveaxis(kernel, -1, 0)
        ]
        return expit(np.stack(planes, axis=-1) + bias)

    layers = iter(zip(weights[::2], weights[1::2]))
    h = convolve(x, *next(layers))
    reduce = {"average": np.mean, "max": np.max}[pool]
    h = reduce(h.reshape(3, 2, 2, 2, 2), axis=(1, 3))
    h = convolve(convolve(h, *next(layers)), *next(layers))
    h = h.repeat(2, axis=0).repeat(2, axis=1)
    expected = convolve(convolve(h, *next(layers)), *next(layers))
    result = keras.ops.convert_to_numpy(model(x[np.newaxis].astype(np.float32)))
    np.testing.assert_allclose(result[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "entry", ["min", "3", 0, -3, 2.5, None, True, [3], 100_000_000]
)
def test_a_structure_of_unknown_entries(entry):
    with pytest.raises(StructureError, match="neither a number of filters") as raised:
        denoising_autoencoder([3, entry], GREY)
    assert repr(entry) in str(raised.value)


@pytest.mark.parametrize(
    ("structure", "shape", "margin"),
    [
        ([3, "average", 3], (27, 31, 1), (1, 1)),
        ([3, "max", 3], (28, 27, 1), (0, 1)),
        ([3, "max", 3, "max", 3, "max", 3], (28, 28, 3), (4, 4)),
    ],
)
def test_images_that_the_pools_do_not_divide(structure, shape, margin):
    """Are reconstructed as with black rows and columns more, but for the cut last layer."""
    odd = denoising_autoencoder(structure, shape)
    assert odd.output_shape == (None, *shape)
    height, width, channels = shape
    larger = (height + margin[0], width + margin[1], channels)
    even = denoising_autoencoder(structure, larger)
    even.set_weights(odd.get_weights())
    x = np.random.RandomState(0).uniform(size=(2, *larger)).astype(np.float32)
    x[:, height:], x[:, :, width:] = 0, 0
    got, expected = odd(x[:, :height, :width]), even(x)
    inner = np.s_[:, : height - 1, : width - 1]  # whose 3x3 neighbours are all there
    np.testing.assert_allclose(got[inner], expected[inner], rtol=1e-5, atol=1e-6)


def test_pools_that_leave_nothing_of_the_image():
    with pytest.raises(StructureError, match="leaves nothing of 28x28.*fewer pools"):
        denoising_autoencoder([3, *["max"] * 5], GREY)
