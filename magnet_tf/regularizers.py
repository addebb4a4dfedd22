"""The activity regularizer of the originals, whose sum runs over the whole batch."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("magnet_tf")
class BatchL1L2(keras.regularizers.L1L2):
    """Adds l1 * sum |a| + l2 * sum a^2 over all activations of a batch to a model's loss.

    What Keras 2, and so the original MagNet, computed for `activity_regularizer=l2(1e-9)`.
    Keras 3's layers divide what an activity regularizer gives by the batch size (in
    `Layer.__call__`, whatever the backend); this one multiplies by it first. The sums are
    float32 also where activations are bfloat16 or float16, which would round them.

    Args:
        l1: weight of the absolute activations.
        l2: weight of the squared activations; 1e-9 in the original.
    """

    def __call__(self, x: Any) -> Any:
        """Activations [N, ...] -> a float32 scalar, N times what the loss is to gain."""
        size = ops.cast(ops.shape(x)[0], "float32")
        return size * super().__call__(ops.cast(x, "float32"))
