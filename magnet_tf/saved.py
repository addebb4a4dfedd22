"""A user's own saved models, loaded in Keras's safe mode and made fit to be attacked."""

import re
import zipfile
from pathlib import Path

import keras

from magnet_tf.errors import UserError
from magnet_tf.magnet import MagNet


class SavedModelError(UserError, ValueError):
    """A saved model cannot be used; the message says why and what to do."""


def load_classifier(path: str | Path) -> tuple[keras.Model, bool]:
    """A classifier from a `.keras` file, giving logits.

    Returns:
        The model, and whether a softmax was taken off its end.

    Raises:
        SavedModelError: the file cannot be loaded safely, or has more than one output.
    """
    model = load_model(path)
    if isinstance(model, MagNet):
        raise SavedModelError(
            f"{path} holds a MagNet, not a classifier; pass it as the defence."
        )
    outputs = model.outputs if hasattr(model, "outputs") else None
    if outputs is not None and len(outputs) != 1:
        raise SavedModelError(
            f"{path} has {len(outputs)} outputs, a classifier has one, logits [N, K]; save "
            "keras.Model(model.inputs, model.outputs[0]) with the output that you mean."
        )
    logits_model = without_softmax(model)
    return logits_model, logits_model is not model


def load_defence(path: str | Path) -> MagNet:
    """A calibrated MagNet from a `.keras` file.

    Raises:
        SavedModelError: the file cannot be loaded safely, or holds something else.
        NotCalibratedError: it has no thresholds.
    """
    model = load_model(path)
    if not isinstance(model, MagNet):
        raise SavedModelError(
            f"{path} holds a {type(model).__name__}, not a MagNet; save one with "
            "magnet.save(path)."
        )
    _ = model.thresholds
    return model


def load_model(path: str | Path) -> keras.Model:
    """A model from a `.keras` file; no code that the file holds is ever run.

    Raises:
        SavedModelError: there is no such file, it is no `.keras` file, it holds a Lambda
            layer, or a class in it is not known.
    """
    path = Path(path)
    if not zipfile.is_zipfile(path):
        problem = "is not a .keras file" if path.exists() else "does not exist"
        raise SavedModelError(f"{path} {problem}; save a model with model.save(path).")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        text = str(error)
        if "Lambda" in text:
            raise SavedModelError(
                f"{path} holds a Lambda layer, whose Python code loading would run; replace "
                "it by a built-in layer or by a registered layer class of your own, and "
                "save the model again."
            ) from error
        if unknown := re.search(r"Could not locate class '([^']+)'", text):
            raise SavedModelError(
                f"{path} holds a class {unknown[1]!r} that is not known here; register it "
                "with keras.saving.register_keras_serializable and import its module "
                "first."
            ) from error
        raise SavedModelError(
            f"{path} cannot be loaded as a Keras model: {text.strip().splitlines()[0]}"
        ) from error


def without_softmax(model: keras.Model) -> keras.Model:
    """The model without the softmax that its last layer is or ends in.

    Args:
        model: with one output. It is not changed.

    Returns:
        A model to logits that shares the layers before the last; the model itself where no
        softmax is found, as in a subclassed model, which cannot be looked into.
    """
    if not getattr(model, "outputs", None):
        return model
    last = model.outputs[0]._keras_history.operation
    if isinstance(last, keras.layers.Softmax) or (
        isinstance(last, keras.layers.Activation) and _is_softmax(last)
    ):
        logits = last.input
    elif isinstance(last, keras.Model):
        inner = without_softmax(last)
        if inner is last:
            return model
        logits = inner(last.input)
    elif _is_softmax(last):
        linear = type(last).from_config({**last.get_config(), "activation": "linear"})
        logits = linear(last.input)
        linear.set_weights(last.get_weights())
    else:
        return model
    inputs = model.inputs[0] if len(model.inputs) == 1 else model.inputs
    return keras.Model(inputs, logits, name=model.name)


def _is_softmax(layer) -> bool:
    return getattr(layer, "activation", None) is keras.activations.softmax
