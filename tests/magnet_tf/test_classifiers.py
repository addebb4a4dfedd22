"""The published classifiers against parameter counts worked out by hand."""

import keras
import numpy as np
import pytest

from magnet_tf.classifiers import cifar10_classifier, mnist_classifier

ARCHITECTURES = [mnist_classifier, cifar10_classifier]


def test_mnist_layers():
    kinds = [type(layer).__name__ for layer in mnist_classifier().layers]
    convolutions = ["Conv2D", "Conv2D", "MaxPooling2D"]
    dense = ["Flatten", "Dense", "Dropout", "Dense", "Dense"]
    assert kinds == convolutions * 2 + dense


def test_mnist_parameters():
    """28 -> 26 -> 24 -> 12 -> 10 -> 8 -> 4 pixels a side."""
    convolutions = [9 * 32 + 32, 9 * 32 * 32 + 32, 9 * 32 * 64 + 64, 9 * 64 * 64 + 64]
    dense = [4 * 4 * 64 * 200 + 200, 200 * 200 + 200, 200 * 10 + 10]
    model = mnist_classifier()
    counts = [layer.count_params() for layer in model.layers if layer.weights]
    assert counts == convolutions + dense
    assert model.layers[-3].rate == 0.5


def test_cifar10_layers():
    kinds = [type(layer).__name__ for layer in cifar10_classifier().layers]
    convolutions = ["Conv2D"] * 3 + ["MaxPooling2D"]
    last = ["Conv2D"] * 3 + ["GlobalAveragePooling2D", "Dense"]
    assert kinds == convolutions * 2 + last


def test_cifar10_parameters():
    """32 -> 30 -> 28 -> 26 -> 13 -> 11 -> 9 -> 7 -> 3 -> 1 pixels a side."""
    expected = [9 * 3 * 96 + 96] + [9 * 96 * 96 + 96] * 2
    expected += [9 * 96 * 192 + 192] + [9 * 192 * 192 + 192] * 3
    expected += [192 * 192 + 192, 192 * 10 + 10, 10 * 10 + 10]
    model = cifar10_classifier()
    assert [layer.count_params() for layer in model.layers if layer.weights] == expected
    assert model.layers[-3].output.shape[1:] == (1, 1, 10)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_hidden_layers_are_relu_and_the_last_gives_logits(architecture):
    model = architecture()
    *hidden, last = [layer for layer in model.layers if layer.weights]
    assert {layer.activation for layer in hidden} == {keras.activations.relu}
    assert last.activation == keras.activations.linear
    convolutions = [i for i in hidden if isinstance(i, keras.layers.Conv2D)]
    assert {layer.padding for layer in convolutions} == {"valid"}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("shape", [(36, 40, 1), (32, 32, 3)])
def test_other_images_and_numbers_of_classes(architecture, shape):
    model = architecture(shape, 7)
    assert model.input_shape == (None, *shape) and model.output_shape == (None, 7)


def test_mnist_dropout_is_for_training_alone():
    keras.utils.set_random_seed(0)
    model = mnist_classifier((16, 16, 1))
    x = np.random.RandomState(0).uniform(size=(4, 16, 16, 1)).astype(np.float32)
    np.testing.assert_array_equal(model(x, training=False), model(x))
    assert not np.allclose(model(x, training=True), model(x))


@pytest.mark.parametrize(("architecture", "least"), list(zip(ARCHITECTURES, (16, 30))))
def test_the_smallest_images(architecture, least):
    assert architecture((least, least, 1), 3).output_shape == (None, 3)
    for shape in [(least - 1, 40, 1), (40, least - 1, 1)]:
        with pytest.raises(
            ValueError, match=f"{least}x{least} pixels.* of your own"
        ) as r:
            architecture(shape, 3)
        assert "--" not in str(r.value)  # a library's message names no flags
