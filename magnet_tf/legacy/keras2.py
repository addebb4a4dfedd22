"""Whole models that Keras 2 saved as HDF5, put together anew."""

import json
import os
from pathlib import Path

import keras
import numpy as np
from keras.regularizers import L1L2

from magnet_tf import hdf5
from magnet_tf.legacy.errors import LegacyError, naming
from magnet_tf.regularizers import BatchL1L2

# What a layer of each class takes from its configuration, beside its name and `trainable`.
# Initializers and constraints matter to training alone and are left out.
_POOL = ("pool_size", "strides", "padding", "data_format")
_KERNEL = ("activation", "use_bias", "kernel_regularizer", "bias_regularizer")
LAYERS = {
    "Activation": ("activation",),
    "AveragePooling2D": _POOL,
    "Conv2D": (
        *(
            "filters",
            "kernel_size",
            "strides",
            "padding",
            "data_format",
            "dilation_rate",
        ),
        *("groups", *_KERNEL, "activity_regularizer"),
    ),
    "Dense": ("units", *_KERNEL, "activity_regularizer"),
    "Dropout": ("rate",),
    "Flatten": ("data_format",),
    "GlobalAveragePooling2D": ("data_format",),
    "MaxPooling2D": _POOL,
    "UpSampling2D": ("size", "data_format", "interpolation"),
}
# A model is a layer, too: such a one is the only layer of a file of the original's packs.
MODELS = ("Sequential", "Model", "Functional")
# Those that mean the same in Keras 2 and 3; 'hard_sigmoid', for one, does not.
ACTIVATIONS = (
    "linear",
    "relu",
    "sigmoid",
    "softmax",
    "softplus",
    "softsign",
    "tanh",
    "elu",
)


def load_model(path: str | os.PathLike) -> keras.Model:
    """Reads a whole model that Keras 2 saved as HDF5, under any file name.

    Takes `Sequential` models and functional ones that are a chain of layers, of the classes
    in `LAYERS` or again such models, as Keras 2.0 and later wrote them. Compile information is
    ignored: the loss was often a function of the program that saved it.

    Args:
        path: such as the original's `defensive_models/MNIST_I`, or a file of a pack, such
            as `defensive_models/PAE_MNIST_I_0`.

    Returns:
        A Keras 3 model with the file's weights, its layers named as they were, for batches
        of any size. It is not compiled.

    Raises:
        LegacyError: the file is missing, damaged, not HDF5 or not a whole model; a layer is
            not among `LAYERS`, a `Lambda` above all; a layer's weights are missing or of
            another shape.
    """
    with naming(path):
        if not os.path.isfile(path):
            raise LegacyError("there is no such file.")
        file = _contents(path)
        model_config = file.attributes["/"].get("model_config")
        if model_config is None:
            raise LegacyError(
                "this HDF5 file has no model_config, so it is not a whole model as "
                "`model.save` wrote it (`save_weights` wrote weights alone)."
            )
        model = _build(json.loads(str(model_config)))
        if "model_weights" not in file.attributes:
            raise LegacyError(
                "this HDF5 file describes a model but has no model_weights."
            )
        for layer in model.layers:
            if layer.weights:
                layer.set_weights(_read_weights(file, layer))
    return model


def _contents(path: str | os.PathLike) -> hdf5.Contents:
    file_bytes = Path(path).read_bytes()
    if not file_bytes.startswith(hdf5.SIGNATURE):
        raise LegacyError(
            "this is not an HDF5 file, the form in which Keras 2 saved models."
        )
    try:
        return hdf5.read(file_bytes)
    except hdf5.HDF5Error as error:
        raise LegacyError(f"this HDF5 file cannot be read: {error}.") from error


def _build(spec: dict) -> keras.Model:
    """The model that a `model_config` describes, its weights not yet set."""
    kind, config = spec["class_name"], spec["config"]
    if kind not in MODELS:
        raise LegacyError(
            f"the model is a {kind!r}, neither Sequential nor functional."
        )
    if isinstance(config, list):  # a Sequential before Keras 2.2.3
        config = {"name": "sequential", "layers": config}
    specs = config["layers"]
    # made before they are connected, so that a Lambda is reported wherever it stands
    layers = {
        s["config"]["name"]: _build(s) if s["class_name"] in MODELS else _layer(s)
        for s in specs
        if s["class_name"] != "InputLayer"
    }
    if kind != "Sequential":
        specs = _chain(config)
    first = specs[0]["config"]
    if specs[0]["class_name"] in MODELS:
        shape = layers[first["name"]].input_shape
    elif "batch_input_shape" in first:
        shape = first["batch_input_shape"]
    else:
        raise LegacyError(
            f"the first layer, {first['name']!r}, has no batch_input_shape."
        )
    input_name = first["name"] + ("_input" if first["name"] in layers else "")
    x = inputs = keras.Input(shape[1:], name=input_name)
    for name in (s["config"]["name"] for s in specs if s["config"]["name"] in layers):
        try:
            x = layers[name](x)
        except Exception as error:
            raise LegacyError(
                f"layer {name!r} does not fit its input ({error})."
            ) from error
    return keras.Model(inputs, x, name=config["name"])


def _chain(config: dict) -> list[dict]:
    """A functional model's layers from its one input to its one output."""
    if len(config["input_layers"]) != 1 or len(config["output_layers"]) != 1:
        raise LegacyError("the model must have one input and one output.")
    specs = {spec["config"]["name"]: spec for spec in config["layers"]}
    chain = [specs[config["output_layers"][0][0]]]
    while chain[-1]["config"]["name"] != config["input_layers"][0][0]:
        spec = chain[-1]
        sources = [source for node in spec["inbound_nodes"] for source in node]
        if len(sources) != 1 or len(chain) > len(specs):
            raise LegacyError(
                f"layer {spec['config']['name']!r} is not called once, on one other layer's "
                "output: only a chain of layers is read."
            )
        if sources[0][0] not in specs:
            raise LegacyError(
                f"layer {spec['config']['name']!r} is called on a layer {sources[0][0]!r} "
                "that is missing."
            )
        chain.append(specs[sources[0][0]])
    return chain[::-1]


def _layer(spec: dict) -> keras.layers.Layer:
    kind, config = spec["class_name"], spec["config"]
    name = config["name"]
    if kind == "Lambda":
        raise LegacyError(
            f"layer {name!r} is a Lambda: it holds Python code, and none is run from a file. "
            "Save the model without it, or build it in Python and load the weights alone."
        )
    if kind not in LAYERS:
        raise LegacyError(
            f"layer {name!r} is of class {kind!r}, which is not read; those that are: "
            f"{', '.join(sorted(LAYERS))}."
        )
    arguments = {key: config[key] for key in LAYERS[kind] if key in config}
    for key, value in arguments.items():
        if key == "activation" and value not in ACTIVATIONS:
            raise LegacyError(
                f"layer {name!r} has the activation {value!r}, which is not read; those that "
                f"are: {', '.join(ACTIVATIONS)}."
            )
        if key.endswith("_regularizer"):
            # Keras 2 summed activations over the batch; Keras 3's own takes the mean
            regularizers = BatchL1L2 if key == "activity_regularizer" else L1L2
            arguments[key] = _regularizer(value, name, regularizers)
    try:
        layer_class = getattr(keras.layers, kind)
        return layer_class(
            **arguments, name=name, trainable=config.get("trainable", True)
        )
    except Exception as error:
        raise LegacyError(
            f"layer {name!r} is no {kind} of Keras 2 ({error})."
        ) from error


def _regularizer(spec: dict | None, name: str, make: type[L1L2]) -> L1L2 | None:
    if spec is None:
        return None
    if spec["class_name"] not in ("L1", "L2", "L1L2"):
        raise LegacyError(f"layer {name!r} has the regularizer {spec['class_name']!r}.")
    l1, l2 = (float(spec["config"].get(key, 0.0)) for key in ("l1", "l2"))
    return make(l1, l2)


def _read_weights(file: hdf5.Contents, layer: keras.layers.Layer) -> list[np.ndarray]:
    """A layer's arrays in its own order, which is that of `weight_names` in the file."""
    expected = [tuple(weight.shape) for weight in layer.weights]
    group = f"model_weights/{layer.name}"
    names = file.attributes.get(group, {}).get("weight_names")
    missing = None if isinstance(names, list) else "its list of weights"
    names = names if isinstance(names, list) else []
    # a nested model's own order is another where some of its layers are not trained
    own = [f"{'/'.join(w.path.split('/')[-2:])}:0" for w in layer.weights]
    names = own if sorted(names) == sorted(own) else names
    for name in names:
        if f"{group}/{name}" not in file.arrays:
            missing = missing or file.problems.get(f"{group}/{name}", repr(name))
    if missing:
        raise LegacyError(
            f"the weights of layer {layer.name!r} are missing or cut short ({missing})."
        )
    arrays = [file.arrays[f"{group}/{name}"] for name in names]
    shapes = [array.shape for array in arrays]
    if shapes != expected:
        raise LegacyError(
            f"the weights of layer {layer.name!r} have the shapes {shapes}, where its "
            f"configuration asks for {expected}."
        )
    return arrays
