"""How the attacks ask a classifier: in inference mode, for logits in float32."""

import functools
from collections.abc import Callable

import keras
import tensorflow as tf


def in_inference_mode(classifier: Callable) -> Callable:
    """A Keras model or layer with `training=False`, any other callable as it is.

    Without it Keras 3 runs preprocessing layers such as `Resizing` in training mode, which
    the layers after them take over: BatchNormalization then uses and changes its statistics.
    """
    if isinstance(classifier, keras.Layer):
        return functools.partial(classifier, training=False)
    return classifier


def logits_of(classifier: Callable) -> Callable[[tf.Tensor], tf.Tensor]:
    """The classifier in inference mode, from images [N, H, W, C] to float32 logits [N, K].

    A model that computes in float16, bfloat16 or float64 is asked as it is; what it gives is
    float32 from there on.
    """
    ask = in_inference_mode(classifier)

    def logits(images):
        return tf.cast(ask(images), tf.float32)

    return logits
