"""Where the training of a wide autoencoder starts."""

import keras
import numpy as np
from keras import ops


def normalise(model: keras.Model, images: np.ndarray) -> None:
    """Scales a chain's hidden convolutions so that each filter's sums have mean 0, deviation 1.

    Layer-sequential unit variance (Mishkin & Matas, ICLR 2016), filter by filter. Drawn as
    Keras draws them, hundreds of sigmoids all say nearly one half: what they know of the
    image drowns in what they have in common, and a training spends thousands of steps on
    predicting the mean image.

    Args:
        model: an input and one layer after the other; the last stays as it is.
        images: [N, H, W, C], some to measure the sums on.
    """
    x = images
    for layer in model.layers[1:-1]:
        if isinstance(layer, keras.layers.Conv2D):
            kernel, _ = layer.get_weights()
            sums = ops.conv(x, kernel, padding=layer.padding)
            sums = ops.convert_to_numpy(sums).astype(np.float64)
            deviation = sums.std(axis=(0, 1, 2)) + 1e-6
            layer.set_weights(
                [kernel / deviation, -sums.mean(axis=(0, 1, 2)) / deviation]
            )
        x = layer(x)
