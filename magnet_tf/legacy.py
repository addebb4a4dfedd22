"""Reads what the original's users still have: Keras 2 model files and pickled attack data.

Neither reader runs anything that a file brings along. A model is put together anew from the
few layer classes below, with the arguments and weights that the file gives; attack data is
unpickled into stand-ins that accept plain arrays of numbers.
"""

import contextlib
import io
import json
import os
import pickle
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
from keras.regularizers import L1L2

from magnet_tf import hdf5
from magnet_tf.errors import UserError
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


class LegacyError(UserError, ValueError):
    """A file is not what the original wrote, or holds what is not read; names file and part."""


def load_model(path: str | os.PathLike) -> keras.Model:
    """Reads a whole model that Keras 2 saved as HDF5, under any file name.

    Takes `Sequential` models and functional ones that are a chain of layers, of the classes
    in `LAYERS` or again such models, as Keras 2.0 and later wrote them. Compile information is ignored: the loss
    was often a function of the program that saved it.

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
    with _naming(path):
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


def load_attack_data(path: str | os.PathLike) -> np.ndarray:
    """Reads an array that the original pickled, under Python 2 or 3.

    Args:
        path: such as the original's `attack_data/example_carlini_10.0.pkl`: images
            [N, H, W, C]; or its `example_idx.pkl`: indices [N].

    Returns:
        The array, in this machine's byte order.

    Raises:
        LegacyError: the file is missing, damaged or not a pickle; it names any class or
            function other than those of plain arrays, of which nothing is run; it holds
            something other than one array of numbers.
    """
    with _naming(path):
        if not os.path.isfile(path):
            raise LegacyError("there is no such file.")
        with open(path, "rb") as file:
            try:
                data = _ArrayUnpickler(_Bytes(file.read()), encoding="latin1").load()
            except LegacyError:
                raise
            except Exception as error:
                raise LegacyError(
                    f"this is no pickled array, or is cut short ({error})."
                ) from error
        if not isinstance(data, _Array) or data.array is None:
            raise LegacyError(
                f"this pickle holds a {type(data).__name__.strip('_')}, not one NumPy array."
            )
        return data.array.astype(data.array.dtype.newbyteorder("="))


# Stand-ins for the names in a pickled array. NumPy's own would take a crafted dtype or object
# array from the file; these take numbers and nothing else.


class _DType:
    def __init__(self, code: str, *_: object):
        if not re.fullmatch("[<>|=]?[biuf][1248]", code):
            raise LegacyError(
                f"this pickle holds an array of type {code!r}, not of numbers."
            )
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    def __init__(self, *_: object):
        self.array: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        data = (
            data.encode("latin1") if isinstance(data, str) else data
        )  # Python 2's bytes
        self.array = np.frombuffer(data, dtype.dtype).reshape(
            shape, order="F" if is_fortran else "C"
        )


def _from_buffer(
    data: bytes, dtype: _DType, shape: tuple, order: Any, axes: tuple | None = None
) -> _Array:
    result = _Array()
    if order == "K":
        result.array = np.frombuffer(data, dtype.dtype).reshape(shape).transpose(axes)
    else:
        result.array = np.frombuffer(data, dtype.dtype).reshape(shape, order=order)
    return result


def _encode(text: str, encoding: str) -> bytes:
    """Bytes, as Python 3 writes them in a pickle that Python 2 can read."""
    if encoding != "latin1":
        raise LegacyError(
            f"this pickle encodes text as {encoding!r}; arrays need latin1 alone."
        )
    return text.encode("latin1")


STAND_INS = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): lambda: b"",  # how Python 3 writes empty ones there
}


def _bytearray8(unpickler: Any) -> None:
    """Bytes of a length; Python's own makes room for the length before it reads."""
    (length,) = struct.unpack("<Q", unpickler.read(8))
    unpickler.append(bytearray(unpickler.read(length)))


# In Python: the unpickler in C takes gigabytes and minutes for a damaged memo index.
class _ArrayUnpickler(pickle._Unpickler):
    dispatch: ClassVar[dict[int, Any]] = {
        **pickle._Unpickler.dispatch,
        pickle.BYTEARRAY8[0]: _bytearray8,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in STAND_INS:
            raise LegacyError(
                f"this pickle names {module}.{name}; attack data may hold NumPy arrays and "
                "nothing else. Nothing of it was run."
            )
        return STAND_INS[module, name]


class _Bytes(io.BytesIO):
    """A file in memory that ends in an error, and never believes a length."""

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if size is not None and len(data) < size:
            raise EOFError("it ends too early")
        return data

    def readline(self, size: int | None = -1) -> bytes:
        line = super().readline(size)
        if not line.endswith(b"\n"):
            raise EOFError("it ends too early")
        return line


@contextlib.contextmanager
def _naming(path: str | os.PathLike) -> Iterator[None]:
    """Whatever goes wrong while a file is read becomes one LegacyError that names the file."""
    try:
        yield
    except LegacyError as error:
        raise _named(path, error) from error.__cause__
    except Exception as error:
        kind = type(error).__name__
        raise _named(
            path, f"this is not as Keras 2 or the original wrote it ({kind}: {error})."
        ) from error


def _named(path: str | os.PathLike, reason: object) -> LegacyError:
    return LegacyError(f"{os.fspath(path)}: {' '.join(str(reason).split())}")
