"""Reformers move an image toward the data manifold before it is classified.

A reformer is a Keras layer with a method `heal`. Meng & Chen, CCS 2017, section 4.2.
"""

from typing import Any

import keras

from magnet_tf.arrays import takes_arrays
from magnet_tf.detectors import check_model, with_models
from magnet_tf.once import healed


@keras.saving.register_keras_serializable("magnet_tf")
class Reformer(keras.layers.Layer):
    """Replaces an image by an autoencoder's reconstruction; `SimpleReformer` in the original.

    Args:
        autoencoder: Keras model from images [N, H, W, C] to images of the same shape.
    """

    def __init__(self, autoencoder: keras.Model, **kwargs: Any):
        super().__init__(**kwargs)
        check_model("autoencoder", autoencoder)
        self.autoencoder = autoencoder

    @takes_arrays
    def heal(self, x: Any) -> Any:
        """clip(AE(x), 0, 1): [N, H, W, C] in [0, 1] -> the same shape and range."""
        return healed(self.autoencoder, x)

    def call(self, x: Any) -> Any:
        return self.heal(x)

    def get_config(self) -> dict:
        autoencoder = keras.saving.serialize_keras_object(self.autoencoder)
        return {**super().get_config(), "autoencoder": autoencoder}

    @classmethod
    def from_config(cls, config: dict) -> "Reformer":
        return cls(**with_models(config))


@keras.saving.register_keras_serializable("magnet_tf")
class IdentityReformer(keras.layers.Layer):
    """Leaves images as they are: for a defence by detectors alone; `IdReformer` there."""

    @takes_arrays
    def heal(self, x: Any) -> Any:
        """x, unchanged: [N, H, W, C] in [0, 1]."""
        return x

    def call(self, x: Any) -> Any:
        return self.heal(x)
