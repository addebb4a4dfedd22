"""What a training computes in, and what compiles it."""

import functools
import time

import keras
import numpy as np


def in_bfloat16(model: keras.Model) -> keras.Model:
    """A copy that computes in bfloat16, except for its last layer; variables stay in float32.

    Args:
        model: compiled, of Keras's own layers.
    """
    last = model.layers[-1].name

    def clone(layer):
        config = layer.get_config()
        config["dtype"] = "float32" if layer.name == last else "mixed_bfloat16"
        return type(layer).from_config(config)

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    copy.compile_from_config(model.get_compile_config())
    return copy


@functools.cache
def bfloat16_pays() -> bool:
    """Whether this machine is faster in bfloat16 than in float32, by one convolution.

    With matrix units for it, it takes a third of the time or less; where the processor has
    none and bfloat16 is emulated, as long or several times as long.
    """
    return 1.5 * _seconds("bfloat16") < _seconds("float32")


def _seconds(dtype: str) -> float:
    """That a convolution of the size of the classifiers' takes, in the best of five."""
    random = np.random.default_rng(0)
    images = keras.ops.cast(random.uniform(size=(64, 16, 16, 64)), dtype)
    kernel = keras.ops.cast(random.uniform(size=(3, 3, 64, 64)), dtype)
    took = []
    for _ in range(6):  # the first compiles
        begin = time.perf_counter()
        found = keras.ops.conv(images, kernel, padding="same")
        keras.ops.convert_to_numpy(keras.ops.cast(found, "float32"))  # waits for it
        took.append(time.perf_counter() - begin)
    return min(took[1:])


def compiled_by_xla() -> bool | str:
    """Keras's `jit_compile`: on a CPU, TensorFlow's own kernels are the faster ones."""
    if keras.backend.backend() != "tensorflow" or keras.distribution.list_devices(
        "gpu"
    ):
        return "auto"
    return False
