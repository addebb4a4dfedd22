"""Where arrays meet tensors: images are checked, cut into batches and brought back."""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import ArrayLike

from magnet_tf import once
from magnet_tf.errors import InputError, InputTypeError

BATCH_SIZE = 64  # activations of 256 filters: 0.8 MB an image and layer


def check_images(
    x: ArrayLike, shape: tuple[int | None, ...] | None = None
) -> np.ndarray:
    """Returns images as float32, or says in one sentence why they cannot be judged.

    Args:
        x: array [N, H, W, C] of floats in [0, 1], N at least 1.
        shape: (H, W, C) that is expected, None where any size will do.

    Raises:
        TypeError: the values are not floats.
        ValueError: the rank or shape is another, there is no image, or a value is NaN,
            infinite or outside [0, 1].
    """
    try:
        x = np.asarray(x)
    except (TypeError, ValueError) as error:  # lists of several lengths
        raise InputTypeError(f"images must be an array, got {error}.") from error
    if not np.issubdtype(x.dtype, np.floating):
        raise InputTypeError(
            f"images must be floats in [0, 1], got {x.dtype}; for 8-bit images divide by 255."
        )
    if x.ndim != 4 or not x.size:
        raise InputError(
            f"images must be a non-empty array [N, H, W, C], got shape {x.shape}; "
            "a single image is x[np.newaxis]."
        )
    if not fits(x.shape[1:], shape):
        raise InputError(f"the model takes images of shape {shape}, got {x.shape[1:]}.")
    low, high = x.min(), x.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise InputError(
            "images hold NaN or infinite values; expected floats in [0, 1]."
        )
    if low < 0 or high > 1:
        raise InputError(
            f"images must lie in [0, 1], got values from {low:g} to {high:g}; rescale them."
        )
    return x.astype(np.float32, copy=False)


def image_shape(model: object) -> tuple[int | None, ...] | None:
    """(H, W, C) of the images that a model takes, None where it does not say."""
    shape = getattr(model, "input_shape", None)
    return shape[1:] if isinstance(shape, tuple) else None


def fits(shape: tuple[int, ...], wanted: tuple[int | None, ...] | None) -> bool:
    """Whether images of a shape are what a model takes, as far as it says."""
    return wanted is None or (
        len(shape) == len(wanted)
        and all(want in (None, got) for want, got in zip(wanted, shape))
    )


def in_batches(function: Callable, x: np.ndarray, batch_size: int = BATCH_SIZE) -> Any:
    """Applies a function of a batch of tensors to an array, a batch at a time.

    Args:
        function: of a tensor [n, ...], to a tensor or a nested structure of tensors.
        x: array [N, ...].
        batch_size: n, at most.

    Returns:
        What the function returns, as NumPy arrays joined along the first axis.
    """
    parts = []
    for start in range(0, len(x), batch_size):
        batch = keras.ops.convert_to_tensor(x[start : start + batch_size])
        parts.append(
            keras.tree.map_structure(keras.ops.convert_to_numpy, function(batch))
        )
    return keras.tree.map_structure(lambda *part: np.concatenate(part), *parts)


def compiled(function: Callable, shape: tuple[int, ...]) -> Callable:
    """The function as one graph, whose independent parts TensorFlow computes at a time.

    Under another backend the function itself.

    Args:
        function: of a tensor [n, *shape], of tensors alone.
        shape: of what one of the n is.
    """
    if keras.backend.backend() != "tensorflow":
        return function
    import tensorflow as tf

    batch = tf.TensorSpec((None, *shape), "float32")
    return tf.function(function, input_signature=[batch], autograph=False)


def predicted(
    model: keras.Model, x: np.ndarray, batch_size: int = BATCH_SIZE
) -> np.ndarray:
    """What a model gives for images: like `model.predict`, a batch of tensors at a time.

    Args:
        model: Keras model with one output; asked in inference mode.
        x: array [N, H, W, C].
        batch_size: how many images go through the model at a time.

    Returns:
        float32 array [N, ...], such as logits [N, K] or images [N, H, W, C].
    """
    return in_batches(functools.partial(once.applied, model), x, batch_size)


def takes_arrays(method: Callable) -> Callable:
    """Lets a method written for a batch of tensors take arrays, too.

    Tensors pass straight through, so that the method is part of a model's graph. An array
    of any length is checked, goes through in batches and comes back as an array.
    """

    @functools.wraps(method)
    def wrapper(self: Any, x: Any) -> Any:
        if keras.ops.is_tensor(x) or isinstance(x, keras.KerasTensor):
            return method(self, x)
        x = check_images(x, image_shape(getattr(self, "autoencoder", None)))
        return in_batches(functools.partial(method, self), x)

    return wrapper
