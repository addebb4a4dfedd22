"""The denoising autoencoders behind MagNet's detectors and reformers."""

from collections.abc import Sequence

import keras
from keras import layers

POOLS = {"max": layers.MaxPooling2D, "average": layers.AveragePooling2D}


def denoising_autoencoder(
    structure: Sequence[int | str], input_shape: tuple[int, int, int]
) -> keras.Model:
    """Autoencoder from a structure; `DenoisingAutoEncoder` in the original.

    The encoder has a 3x3 convolution for each number (its filters) and a 2x2 pool for each
    "max" or "average"; the decoder is its mirror, pools becoming up-sampling; a last 3x3
    convolution leads back to the image's channels. Every activation is a sigmoid, every
    convolution has an L2 activity regularizer of 1e-9.

    Args:
        structure: such as [3, "average", 3].
        input_shape: (H, W, C); H and W divisible by 2 for each pool.

    Returns:
        Untrained model from images [N, H, W, C] in [0, 1] to images of the same shape.

    Raises:
        ValueError: an entry is neither a filter count nor a pool, or the pools do not
            divide the image.
    """
    height, width, channels = input_shape
    for entry in structure:
        if entry not in POOLS and not (isinstance(entry, int) and entry > 0):
            raise ValueError(
                f"structure {list(structure)}: {entry!r} is neither a number of filters "
                f"nor one of {sorted(POOLS)}."
            )
    factor = 2 ** sum(entry in POOLS for entry in structure)
    if height % factor or width % factor:
        raise ValueError(
            f"structure {list(structure)} halves the image {factor.bit_length() - 1} times, "
            f"but {height} and {width} are not both divisible by {factor}; use fewer pools."
        )

    def convolution(filters: int):
        return layers.Conv2D(
            filters,
            3,
            padding="same",
            activation="sigmoid",
            activity_regularizer=keras.regularizers.L2(1e-9),
        )

    x = inputs = layers.Input(input_shape)
    for entry in structure:
        x = POOLS[entry](2)(x) if entry in POOLS else convolution(entry)(x)
    for entry in reversed(structure):
        x = layers.UpSampling2D(2)(x) if entry in POOLS else convolution(entry)(x)
    return keras.Model(inputs, convolution(channels)(x), name="autoencoder")
