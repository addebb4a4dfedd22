"""The denoising autoencoders behind MagNet's detectors and reformers."""

import random
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from magnet_tf.errors import InputError
from magnet_tf.regularizers import BatchL1L2

MAX_FILTERS = 4096  # a layer's; two of them have 151 million weights
NO_MARGIN = ((0, 0), (0, 0))
POOLS = {"max": layers.MaxPooling2D, "average": layers.AveragePooling2D}


class StructureError(InputError):
    """A structure is none, or does not fit the images."""


def denoising_autoencoder(
    structure: Sequence[int | str],
    input_shape: tuple[int, int, int],
    activity_l2: float = 1e-9,
) -> keras.Model:
    """Autoencoder from a structure; `DenoisingAutoEncoder` in the original.

    The encoder has a 3x3 convolution for each number (its filters) and a 2x2 pool for each
    "max" or "average"; the decoder is its mirror, pools becoming up-sampling; a last 3x3
    convolution leads back to the image's channels. Every activation is a sigmoid. In training
    each convolution adds its squared activations, summed over the batch, to the loss. Images
    that the pools do not divide get black rows and columns first, which are cut off again
    before the last convolution.

    Args:
        structure: such as [3, "average", 3].
        input_shape: (H, W, C).
        activity_l2: weight of that sum; 1e-9 in the original, whose batches hold 256 images
            (batches of n have the same loss an image at 1e-9 * 256 / n); 0 in its packs.

    Returns:
        Untrained model from images [N, H, W, C] in [0, 1] to images of the same shape.

    Raises:
        StructureError: an entry is neither a filter count nor a pool, or the pools leave
            nothing of the image.
    """
    margin = _margin(structure, input_shape)

    def convolution(filters: int) -> keras.layers.Layer:
        return layers.Conv2D(
            filters,
            3,
            padding="same",
            activation="sigmoid",
            activity_regularizer=BatchL1L2(l2=activity_l2) if activity_l2 else None,
        )

    x = inputs = layers.Input(input_shape)
    if margin != NO_MARGIN:
        x = layers.ZeroPadding2D(margin)(x)
    for entry in structure:
        x = convolution(entry)(x) if isinstance(entry, int) else POOLS[entry](2)(x)
    for entry in reversed(structure):
        up = layers.UpSampling2D(2)
        x = convolution(entry)(x) if isinstance(entry, int) else up(x)
    if margin != NO_MARGIN:
        x = layers.Cropping2D(margin)(x)
    return keras.Model(inputs, convolution(input_shape[-1])(x), name="autoencoder")


def _margin(
    structure: Sequence[int | str], input_shape: tuple[int, int, int]
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows and columns that images lack before and after to be divided by the pools."""
    for entry in structure:
        is_count = type(entry) is int and 0 < entry <= MAX_FILTERS
        is_pool = isinstance(entry, str) and entry in POOLS
        if not (is_pool or is_count):
            raise StructureError(
                f"structure {list(structure)}: {entry!r} is neither a number of filters, at "
                f"most {MAX_FILTERS}, nor one of {sorted(POOLS)}."
            )
    height, width, _ = input_shape
    pools = sum(entry in POOLS for entry in structure)
    if 2**pools > min(height, width):
        raise StructureError(
            f"structure {list(structure)} halves the image {pools} times, which leaves "
            f"nothing of {height}x{width} pixels; use fewer pools."
        )
    return (0, -height % 2**pools), (0, -width % 2**pools)


@keras.saving.register_keras_serializable("magnet_tf")
class PackedAutoencoder(keras.Model):
    """A pack of diverse autoencoders, of which one is picked at random, by seed.

    The defence against a gray-box attacker, who knows the defence but not which of its
    autoencoders is in use: Meng & Chen, CCS 2017, section 4.3; `PackedAutoEncoder` in the
    original. It stands wherever an autoencoder does.

    Args:
        autoencoders: Keras models from images [N, H, W, C] to images of the same shape.
        seed: decides which one is picked.

    Attributes:
        picked: index of the autoencoder in use.
    """

    def __init__(
        self, autoencoders: Sequence[keras.Model], seed: int = 0, **kwargs: Any
    ):
        super().__init__(**kwargs)
        if not autoencoders:
            raise InputError("a pack needs at least one autoencoder.")
        self.autoencoders = list(autoencoders)
        self.seed = seed
        self.picked = drawn(len(autoencoders), seed)

    def with_seed(self, seed: int) -> "PackedAutoencoder":
        """The same pack with another pick."""
        return PackedAutoencoder(self.autoencoders, seed)

    def call(self, x: Any, training: bool | None = None) -> Any:
        """The picked one's output; in training all of them, [N, len(pack), H, W, C]."""
        if training:
            outputs = [model(x, training=True) for model in self.autoencoders]
            return ops.stack(outputs, axis=1)
        return self.autoencoders[self.picked](x, training=False)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Nothing is left to build: the parts are models."""

    def get_config(self) -> dict:
        models = [keras.saving.serialize_keras_object(m) for m in self.autoencoders]
        return {**super().get_config(), "autoencoders": models, "seed": self.seed}

    @classmethod
    def from_config(cls, config: dict) -> "PackedAutoencoder":
        make = keras.saving.deserialize_keras_object
        models = [make(model) for model in config.pop("autoencoders")]
        return cls(models, **config)


def drawn(count: int, seed: int) -> int:
    """Which of so many autoencoders a seed picks."""
    return random.Random(seed).randrange(count)


class PackLoss(keras.losses.Loss):
    """What a pack minimises: to reconstruct, and to differ from one another.

    sum_i MSE(AE_i(x), clean) - alpha * sum_i MSE(AE_i(x), mean_j AE_j(x)); Meng & Chen,
    CCS 2017, section 4.3.

    Args:
        alpha: weight of the diversity, at least 0; 0.2 in the original.
    """

    def __init__(self, alpha: float = 0.2):
        super().__init__(name="pack_loss")
        self.alpha = alpha

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Clean images [N, H, W, C] and outputs [N, n, H, W, C] -> [N]."""
        mean = ops.mean(y_pred, axis=1, keepdims=True)
        error = (y_pred - ops.expand_dims(y_true, axis=1)) ** 2
        diversity = (y_pred - mean) ** 2
        return ops.mean(ops.sum(error - self.alpha * diversity, axis=1), axis=(1, 2, 3))
