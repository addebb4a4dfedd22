"""A user's own saved models, loaded in Keras's safe mode and made fit to be attacked."""

from pathlib import Path

import keras

from magnet_tf.keras_files import SavedModelError, load_model
from magnet_tf.magnet import MagNet


def load_classifier(path: str | Path) -> tuple[keras.Model, bool]:
    """A classifier from a `.keras` file, giving logits.

    Args:
        path: of the file.

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

    Args:
        path: of the file.

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
    history = model.outputs[0]._keras_history
    last = history.operation
    # of this call: a nested model's own `input` is another tensor, where its graph begins
    call = last._inbound_nodes[history.node_index]
    if type(last).__name__ == "Softmax" or (  # the layer, or the function in a graph
        isinstance(last, keras.layers.Activation) and _is_softmax(last)
    ):
        logits = call.input_tensors[0]
    elif isinstance(last, keras.Model):
        inner = without_softmax(last)
        if inner is last:
            return model
        logits = inner(*call.arguments.args, **call.arguments.kwargs)
    elif _is_softmax(last):
        linear = type(last).from_config({**last.get_config(), "activation": "linear"})
        logits = linear(call.input_tensors[0])
        linear.set_weights(last.get_weights())
    else:
        return model
    inputs = model.inputs[0] if len(model.inputs) == 1 else model.inputs
    return keras.Model(inputs, logits, name=model.name)


def _is_softmax(layer: keras.Operation) -> bool:
    return getattr(layer, "activation", None) is keras.activations.softmax
