"""How the attacks ask a classifier and its constraints: in inference mode, in float32."""

import functools
from collections.abc import Callable

import keras
import tensorflow as tf

from attacks.objective import Answer


def in_inference_mode(classifier: Callable) -> Callable:
    """A Keras model or layer with `training=False`, any other callable as it is.

    Without it Keras 3 runs preprocessing layers such as `Resizing` in training mode, which
    the layers after them take over: BatchNormalization then uses and changes its statistics.
    """
    if isinstance(classifier, keras.Layer):
        return functools.partial(classifier, training=False)
    return classifier


def asking(
    classifier: Callable, constraints: Callable | None
) -> Callable[[tf.Tensor], Answer]:
    """What is asked of images [N, H, W, C], the classifier in inference mode.

    A model that computes in float16, bfloat16 or float64 is asked as it is; what it gives is
    float32 from there on. Logits [N, K] become [N, 1, K]; without constraints J is 0.
    """
    classify = in_inference_mode(classifier)

    def ask(images):
        logits = tf.cast(classify(images), tf.float32)
        if logits.shape.rank == 2:
            logits = logits[:, None]
        if constraints is None:
            return Answer(logits, tf.zeros_like(logits[:, 0, :0]))
        return Answer(logits, tf.cast(constraints(images), tf.float32))

    return ask
