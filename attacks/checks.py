"""What an attack asks of its inputs, each with one clear error."""

import numbers
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from attacks.classifier import in_inference_mode

WHOLE = ("max_iterations", "binary_search_steps", "batch_size", "gradients", "steps")
MAY_BE_ZERO = ("confidence", "beta")

OF_SEARCH = {
    "exact": (
        "learning_rate",
        "max_iterations",
        "binary_search_steps",
        "initial_const",
        "momentum",
    ),
    "primal_dual": ("gradients",),
}


class InputError(ValueError):
    """What the caller gave is not what an attack takes; the message says it in a sentence."""


class InputTypeError(InputError, TypeError):
    """The same, where the type is wrong."""


def shown(value: object) -> str:
    """A value as it stands in a sentence: on one line, and not too long."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 100 else f"{text[:97]}..."


def check_settings(**settings: object) -> None:
    """That each setting is a number as its name asks for.

    Raises:
        InputTypeError: one that is no number, or not a whole one where it counts something.
        InputError: one that is not finite in float32, not positive, or, of those that may
            be zero, negative.
    """
    for name, value in settings.items():
        kind = numbers.Integral if name in WHOLE else numbers.Real
        noun = "a whole number" if name in WHOLE else "finite and"
        least = "at least" if name in MAY_BE_ZERO else "above"
        expected = f"{name} must be {noun} {least} 0, got {shown(value)}."
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, kind):
            raise InputTypeError(expected)
        rounded = _float32(value)
        allowed = rounded >= 0 if name in MAY_BE_ZERO else rounded > 0
        if not (allowed and np.isfinite(rounded)):
            raise InputError(expected)


def check_choice(name: str, value: object, choices: Sequence) -> None:
    """That a value is one of the choices, and a truth value where these are.

    Raises:
        InputTypeError: it is of another type than the choices.
        InputError: it is none of them.
    """
    if type(value) in {type(choice) for choice in choices} | {np.bool_} and (
        any(value is choice or value == choice for choice in choices)
    ):
        return
    alike = any(isinstance(value, type(choice)) for choice in choices)
    *most, last = [repr(choice) for choice in choices]
    raise (InputError if alike else InputTypeError)(
        f"{name} must be {', '.join(most)} or {last}, got {shown(value)}."
    )


def check_search(search: str, **settings: Any) -> dict[str, Any]:
    """The settings that were given, which is not None: all of them the search's own.

    Raises:
        InputTypeError: the search's name is no string.
        InputError: there is no such search, or a setting is another's.
    """
    if isinstance(search, str) and search == "adaptive":
        raise InputError("search must be 'primal_dual', as 'adaptive' is named now.")
    check_choice("search", search, tuple(OF_SEARCH))
    given = {name: value for name, value in settings.items() if value is not None}
    for name, value in given.items():
        if name not in OF_SEARCH[search]:
            (other,) = (other for other, own in OF_SEARCH.items() if name in own)
            raise InputError(
                f"{name} must be left out with search={search!r}, because it is a setting "
                f"of search={other!r}, got {shown(value)}."
            )
    return given


def check_numbers(name: str, values: Any) -> list[float]:
    """The numbers that a number or several of them stand for, each as the name asks for.

    Raises:
        InputTypeError, InputError: they are no numbers, not as in `check_settings`, or none.
    """
    try:
        found = np.ravel(values).tolist()
    except ValueError as error:
        raise InputTypeError(
            f"{name} must be a number or a list of numbers, got {shown(values)}."
        ) from error
    if not found:
        raise InputError(f"{name} must be a number or some numbers, got none.")
    for value in found:
        check_settings(**{name: value})
    return found


def check_bounds(bounds: Any) -> tuple[float, float]:
    """The bounds as two numbers.

    Raises:
        InputTypeError: they are not two numbers.
        InputError: they are not finite or not low < high, in float32.
    """
    expected = f"bounds must be two finite numbers (low, high) with low < high, got {shown(bounds)}."
    try:
        low, high = bounds
    except (TypeError, ValueError) as error:
        raise InputTypeError(expected) from error
    for value in (low, high):
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
            raise InputTypeError(expected)
    if not (
        np.isfinite([_float32(low), _float32(high)]).all()
        and _float32(low) < _float32(high)
    ):
        raise InputError(expected)
    return low, high


def _float32(value) -> np.float32:
    with np.errstate(over="ignore"):
        try:
            return np.float32(value)
        except OverflowError:  # a whole number of 40 digits
            return np.float32(np.inf)


def check_backend(classifier: object) -> None:
    """That TensorFlow can differentiate a classifier that is a Keras model.

    Raises:
        InputError: Keras computes with something else in this process.
    """
    backend = keras.backend.backend()
    if isinstance(classifier, keras.Layer) and backend != "tensorflow":
        raise InputError(
            "the attacks need TensorFlow's gradients, and Keras computes with "
            f"{backend!r} here: set KERAS_BACKEND=tensorflow; saved models load under any."
        )


def check_inputs(
    x, labels, bounds: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns images as float32 and labels as int64, or says why they cannot be attacked.

    Raises:
        InputTypeError: images that are not floats, labels that are not integers.
        InputError: anything else that is not float [N, H, W, C] in `bounds` and int [N].
    """
    low, high = bounds
    x, labels = _array("images", x), _array("labels", labels)
    if not np.issubdtype(x.dtype, np.floating):
        raise InputTypeError(
            f"images must be floats within the bounds {bounds}, got {x.dtype}; "
            "for 8-bit images divide by 255."
        )
    if x.ndim != 4 or not x.size:
        raise InputError(
            f"images must be a non-empty array [N, H, W, C], got shape {x.shape}."
        )
    if not np.isfinite(x).all():
        raise InputError("images hold NaN or infinite values; expected finite floats.")
    if x.min() < low or x.max() > high:
        raise InputError(
            f"images must lie within the bounds {bounds}, got values from {x.min():g} to "
            f"{x.max():g}; rescale them or pass other bounds."
        )
    if labels.ndim == 2 and len(labels) == len(x):
        raise InputError(
            f"labels must be integers [N], got shape {labels.shape}: "
            "for one-hot labels pass labels.argmax(axis=1)."
        )
    if not np.issubdtype(labels.dtype, np.integer):
        raise InputTypeError(f"labels must be integers, got {labels.dtype}.")
    if labels.shape != x.shape[:1]:
        raise InputError(
            f"{len(x)} images need labels of shape ({len(x)},), got {labels.shape}."
        )
    return x.astype(np.float32, copy=False), labels.astype(np.int64)


def _array(name: str, values) -> np.ndarray:
    try:
        return np.asarray(values)
    except (TypeError, ValueError) as error:
        raise InputTypeError(f"{name} must be an array, got {error}.") from error


def check_classifier(
    classifier: Callable, x: np.ndarray, labels: np.ndarray, batch_size: int
) -> None:
    """That a classifier takes the images and gives finite logits for the labels.

    Args:
        classifier: from images to logits.
        x: images [N, H, W, C].
        labels: int [N].
        batch_size: images at a time.

    Raises:
        InputTypeError: it cannot be called.
        InputError: it does not take the images, or gives something else.
    """
    if not callable(classifier):
        raise InputTypeError(
            "the classifier must be callable, from images to logits, got "
            f"{type(classifier).__name__}."
        )
    _check_size(classifier, x)
    parts = _answers("the classifier", "logits", classifier, x, batch_size)
    if any(part.ndim not in (2, 3) or part.shape[-1] < 2 for part in parts) or sum(
        map(len, parts)
    ) != len(x):
        raise InputError(
            "the classifier must return logits [N, K] with K at least 2, or [N, M, K] of "
            f"M classifiers, got shape {parts[0].shape} for {len(x[:batch_size])} images."
        )
    dtype = parts[0].dtype
    logits = np.concatenate(parts).astype(np.float32)
    if not np.isfinite(logits).all():
        raise InputError("the classifier returns NaN or infinite logits.")
    rounding = 1e-4 if dtype in (np.float32, np.float64) else 2e-2
    if (logits >= 0).all() and np.allclose(logits.sum(axis=-1), 1, atol=rounding):
        raise InputError(
            "the classifier returns probabilities; the attacks need logits: "
            "remove the softmax from its last layer."
        )
    if labels.min() < 0 or labels.max() >= logits.shape[-1]:
        raise InputError(
            f"labels must lie in 0..{logits.shape[-1] - 1}, the classifier's classes, got "
            f"{labels.min()}..{labels.max()}."
        )


def check_constraints(constraints: Callable, x: np.ndarray, batch_size: int) -> None:
    """That constraints take the images and give finite values, differentiable where any.

    Args:
        constraints: from images to [N, J].
        x: images [N, H, W, C].
        batch_size: images at a time.

    Raises:
        InputTypeError: they cannot be called.
        InputError: they do not take the images, or give something else.
    """
    if not callable(constraints):
        raise InputTypeError(
            "constraints must be callable, from images to [N, J], got "
            f"{type(constraints).__name__}."
        )
    parts = _answers("the constraints' function", "values", constraints, x, batch_size)
    if any(part.ndim != 2 for part in parts) or sum(map(len, parts)) != len(x):
        raise InputError(
            "the constraints' function must return values [N, J], one column a constraint, got shape "
            f"{parts[0].shape} for {len(x[:batch_size])} images."
        )
    if not np.isfinite(np.concatenate(parts).astype(np.float32)).all():
        raise InputError("the constraints' function returns NaN or infinite values.")


def _check_size(classifier: Callable, x: np.ndarray) -> None:
    """That the images are of the size that a Keras model says it takes, if it says so."""
    shape = getattr(classifier, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4:
        return
    if any(n not in (None, m) for n, m in zip(shape[1:], x.shape[1:], strict=True)):
        raise InputError(
            f"images must be [N, H, W, C] = {list(shape)} for this classifier, got shape "
            f"{x.shape}; resize them or pass another classifier."
        )


def _answers(
    what: str, noun: str, function: Callable, x: np.ndarray, batch_size: int
) -> list[np.ndarray]:
    """What a function says of the images, batch by batch; it must be differentiable."""
    parts = [
        _asked(what, noun, function, x[start : start + batch_size], start == 0)
        for start in range(0, len(x), batch_size)
    ]
    if not tf.as_dtype(parts[0].dtype).is_floating:
        raise InputError(
            f"{what} must return floats, its {noun}, got {parts[0].dtype}."
        )
    return parts


def _asked(
    what: str, noun: str, function: Callable, x: np.ndarray, differentiate: bool
) -> np.ndarray:
    """What a function says; where asked for, TensorFlow must be able to differentiate it."""
    images = tf.constant(x)
    try:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            values = in_inference_mode(function)(images)
        found = np.asarray(values)
    except (TypeError, ValueError, tf.errors.InvalidArgumentError) as error:
        raise InputError(
            f"{what} fails on images of shape {x.shape}: expected one that takes "
            f"them ({type(error).__name__}: {' '.join(str(error).split())})."
        ) from error
    if (
        differentiate
        and found.size
        and found.dtype.kind == "f"
        and not (tf.is_tensor(values) and tape.gradient(values, images) is not None)
    ):
        raise InputError(
            f"{what} cannot be differentiated: expected TensorFlow's operations from "
            f"images to {noun}; pass a Keras model itself, not its predict."
        )
    return found
