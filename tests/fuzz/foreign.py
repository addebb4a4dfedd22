"""Files from elsewhere: what is read of them is what they say, or they are refused."""

import functools
import io
import json
import pickle
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import h5py
import keras
import numpy as np
import PIL.Image
from hypothesis import strategies as st

from eval import attack_files
from magnet_tf import datasets, hdf5, legacy, saved
from tests.fuzz.asked import X, defence
from tests.fuzz.cases import RESULT, Kind, attempt
from tests.fuzz.mutations import altered, contents, json_edits, spoiled

# Pickles


class Trap:
    """Leaves a file where it is unpickled."""

    def __reduce__(self):
        return open, ("sprung", "w")


OBJECTS: list[Any] = [
    *(None, 1, "text", b"bytes", [1, 2], {"a": 1}, {1}, (), Ellipsis, print, Trap()),
    *(np.float32(1), np.arange(3) > 1, np.array(["a"]), np.array([None, {}], object)),
    *(np.array([1 + 1j]), np.zeros(2, "f4,i4"), np.zeros(2, "M8[s]"), np.float64),
    *(
        np.zeros((0, 3)),
        np.array(5),
        np.zeros((2, 2), order="F"),
        np.arange(4, dtype=">i2"),
    ),
    *([np.zeros(2), Trap()], np.ma.array([1, 2]), np.zeros(3, np.float16), [[[]]] * 3),
    np.random.RandomState(0).uniform(size=(2, 3, 3, 1)).astype(np.float32),
]


def pickled(value: tuple, folder: Path) -> str:
    """A pickle, as it was or spoiled."""
    which, protocol, what = value
    path = folder / "example_carlini_10.0.pkl"
    path.write_bytes(spoiled(pickle.dumps(OBJECTS[which], protocol), what))
    data, outcome = attempt(lambda: legacy.load_attack_data(path), path)
    assert not (folder / "sprung").exists(), "code of the file was run"
    if outcome == RESULT:
        assert type(data) is np.ndarray and data.dtype.kind in "biuf"
        assert data.nbytes <= 10**6
        if not what:
            np.testing.assert_array_equal(data, OBJECTS[which])
    return outcome


pickles = st.tuples(
    st.integers(0, len(OBJECTS) - 1),
    st.integers(0, pickle.HIGHEST_PROTOCOL),
    st.just([]) | contents,
) | st.tuples(st.just(len(OBJECTS) - 1), st.sampled_from([0, 2, 4]), contents)


# Models of Keras 2


@functools.cache
def keras_2() -> tuple[dict, dict[str, np.ndarray], dict]:
    """The configuration, arrays and attributes of a model as the original saved it."""
    layers = [
        {
            "class_name": "Conv2D",
            "config": {
                "name": "conv",
                "batch_input_shape": [None, 4, 4, 1],
                "filters": 2,
                "kernel_size": [3, 3],
                "strides": [1, 1],
                "padding": "same",
                "activation": "relu",
                "use_bias": True,
                "activity_regularizer": {"class_name": "L1L2", "config": {"l1": 0.0}},
            },
        },
        {
            "class_name": "MaxPooling2D",
            "config": {"name": "pool", "pool_size": [2, 2], "padding": "valid"},
        },
        {"class_name": "Flatten", "config": {"name": "flat", "trainable": True}},
        {"class_name": "Dense", "config": {"name": "out", "units": 3}},
    ]
    config = {"class_name": "Sequential", "config": {"name": "it", "layers": layers}}
    shapes = {"conv": [(3, 3, 1, 2), (2,)], "out": [(8, 3), (3,)]}
    arrays, attributes = {}, {}
    for name, (kernel, bias) in shapes.items():
        for part, shape in (("kernel:0", kernel), ("bias:0", bias)):
            path = f"model_weights/{name}/{name}/{part}"
            arrays[path] = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        names = [f"{name}/kernel:0", f"{name}/bias:0"]
        attributes[f"model_weights/{name}"] = {"weight_names": names}
    return config, arrays, attributes


@functools.cache
def keras_2_file() -> bytes:
    """The same as a file."""
    config, arrays, attributes = keras_2()
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["model_config"] = json.dumps(config).encode()
        for path, array in arrays.items():
            file[path] = array
        for path, of in attributes.items():
            file[path].attrs["weight_names"] = [
                name.encode() for name in of["weight_names"]
            ]
    return buffer.getvalue()


def check_legacy(model: keras.Model, arrays: dict[str, np.ndarray] | None) -> None:
    """That a model has known layers alone, and the file's own weights where they are given."""
    for layer in model.layers:
        assert type(layer).__name__ in (*legacy.LAYERS, "InputLayer", "Functional")
        for weight in layer.weights if arrays else ():
            of = [np.array_equal(weight, array) for array in arrays.values()]
            assert any(of), "weights that are not the file's"


def described(changes: list, folder: Path) -> str:
    """A Keras 2 model whose description or outline was altered."""
    config, arrays, attributes = keras_2()
    outline = {"config": config, "attributes": attributes}
    outline = altered(outline, changes)
    if not isinstance(outline, dict):
        outline = {}
    text, listed = outline.get("config"), outline.get("attributes")
    listed = listed if isinstance(listed, dict) else {}
    found = hdf5.Contents(
        {
            "/": {"model_config": text if isinstance(text, str) else json.dumps(text)},
            "model_weights": {},
            **{name: of for name, of in attributes.items() if name in listed},
        },
        {},
        arrays,
    )
    path = folder / "MNIST_I"
    path.write_bytes(hdf5.SIGNATURE)
    with mock.patch.object(hdf5, "read", lambda _: found):
        model, outcome = attempt(lambda: legacy.load_model(path), path)
    if model:
        check_legacy(model, arrays)
    return outcome


def keras_2_bytes(what: Any, folder: Path) -> str:
    """A Keras 2 file whose bytes were spoiled."""
    path = folder / "MNIST_I"
    path.write_bytes(spoiled(keras_2_file(), what))
    with mock.patch.object(hdf5, "SECONDS", 10.0):
        model, outcome = attempt(lambda: legacy.load_model(path), path)
    if model:
        check_legacy(model, None)  # there is no digest, and a weight may be another
    return outcome


# .keras files


def members_of(save: Callable[[Path], object]) -> dict[str, bytes]:
    """What is in the `.keras` file that is saved."""
    path = Path(tempfile.mkdtemp()) / "it.keras"
    save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@functools.cache
def keras_3() -> dict[str, bytes]:
    """What is in the file of a model of several kinds of layers."""
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((4, 4, 1)),
            layers.Conv2D(2, 3),
            layers.BatchNormalization(),
            layers.Dropout(0.5),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    return members_of(model.save)


@functools.cache
def magnet_file() -> dict[str, bytes]:
    """What is in the file of a defence with two detectors."""
    return members_of(defence().save)


def packed(members: dict[str, bytes]) -> bytes:
    """An archive of these files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def keras_3_file(value: tuple, folder: Path) -> str:
    """A classifier's file, spoiled as a whole, in its description or in its weights."""
    how, what = value
    members, path = dict(keras_3()), folder / "mine.keras"
    whole = how != "weights"  # then its weights need no process to look at them
    if how == "json":
        config = json.loads(members["config.json"])
        members["config.json"] = json.dumps(altered(config, what)).encode()
    elif how == "gone":
        del members[what]
    elif how != "file":
        name = "config.json" if how == "text" else "model.weights.h5"
        members[name] = spoiled(members[name], what)
    content = packed(members)
    path.write_bytes(spoiled(content, what) if how == "file" else content)
    looked_at = mock.patch.object(hdf5, "check", lambda _: None)
    with looked_at if whole else mock.patch.object(hdf5, "SECONDS", 10.0):
        loaded, outcome = attempt(lambda: saved.load_classifier(path), path)
    if loaded:
        model, _ = loaded
        assert isinstance(model, keras.Model)
    return outcome


def defence_file(changes: list, folder: Path) -> str:
    """A defence's file whose description was altered."""
    members, path = dict(magnet_file()), folder / "mine.keras"
    config = altered(json.loads(members["config.json"]), changes)
    members["config.json"] = json.dumps(config).encode()
    path.write_bytes(packed(members))
    with mock.patch.object(hdf5, "check", lambda _: None):
        magnet, outcome = attempt(lambda: saved.load_defence(path))
    if magnet:
        assert len(magnet.thresholds) == len(magnet.detectors) == 2
        was = list(defence().thresholds.values())
        assert list(magnet.thresholds.values()) == was, "other thresholds"
        _, outcome = attempt(lambda: magnet.judge(X))
    return outcome


models = st.one_of(
    *[st.tuples(st.just("json"), json_edits)] * 4,
    st.tuples(st.just("text"), contents),
    st.tuples(st.just("file"), contents),
    st.tuples(st.just("gone"), st.sampled_from(["config.json", "metadata.json"])),
)
weights = st.tuples(st.just("weights"), contents)


# A user's own data

TYPES = ["u1", "f4", "f8", "f2", "i8", "i1", "?", "u2", "c8", "O", "U3", "M8[s]", ">f4"]
SHAPES = [
    *(
        (6, 4, 4, 1),
        (6, 4, 4, 3),
        (6, 4, 4),
        (6,),
        (6, 1),
        (6, 2),
        (),
        (0,),
        (0, 4, 4, 1),
    ),
    *(
        (6, 1, 4, 9),
        (1, 4, 4, 1),
        (6, 0, 4, 1),
        (6, 4, 5, 1),
        (5, 4, 4, 1),
        (2, 2, 2, 2, 2),
    ),
]
FILLS = [
    "images",
    "labels",
    "bytes",
    "nan",
    "inf",
    "negative",
    "zero",
    "huge",
    "gap",
    "sorted",
]
an_array = st.tuples(
    st.sampled_from(TYPES), st.sampled_from(SHAPES), st.sampled_from(FILLS)
)
SOUND = {
    "x_train": ("u1", (6, 4, 4, 1), "bytes"),
    "y_train": ("i8", (6,), "labels"),
    "x_test": ("f4", (6, 4, 4, 1), "images"),
    "y_test": ("u1", (6, 1), "labels"),
}


def made(of: tuple) -> np.ndarray:
    """An array of a type, a shape and a filling."""
    kind, shape, filling = of
    count = int(np.prod(shape))
    values = {
        "images": np.linspace(0, 1, count),
        "labels": np.arange(count) % 2,
        "bytes": np.arange(count) % 256,
        "nan": np.full(count, np.nan),
        "inf": np.full(count, np.inf),
        "negative": np.arange(count) - 1.0,
        "zero": np.zeros(count),
        "huge": np.full(count, 2.0**62),
        "gap": np.arange(count) % 2 * 3,
        "sorted": np.arange(count) * 2 // max(count, 1),
    }[filling]
    with np.errstate(all="ignore"):
        if kind.startswith("M"):
            return np.zeros(shape, kind)
        return values.astype(kind).reshape(shape)


def check_dataset(data: datasets.Dataset) -> None:
    """That a dataset is what a `Dataset` says it is."""
    shape = data.image_shape
    for images, labels in (data.train, data.validation, data.test):
        assert images.dtype == np.float32 and labels.dtype == np.int64
        assert len(images) == len(labels) > 0 and images.shape[1:] == shape
        assert np.isfinite(images).all() and images.min() >= 0 and images.max() <= 1
        assert labels.min() >= 0 and labels.max() < data.num_classes
    assert len(shape) == 3 and data.fingerprint and data.num_classes >= 2


def numpy_file(value: tuple, folder: Path) -> str:
    """A dataset as an `.npz`, of arrays good and bad, or spoiled."""
    others, what = value
    arrays = {**SOUND, **others}
    held = {key: made(of) for key, of in arrays.items() if of}
    path = folder / "mine.npz"
    np.savez_compressed(path, **held)
    path.write_bytes(spoiled(path.read_bytes(), what))
    data, outcome = attempt(lambda: datasets.load(path), path)
    if data:
        check_dataset(data)
        x, y = held["x_test"], np.ravel(held["y_test"])
        scale = 255 if x.dtype == np.uint8 else 1
        np.testing.assert_allclose(
            np.ravel(data.test.images), np.ravel(x) / scale, atol=1e-6
        )
        np.testing.assert_array_equal(data.test.labels, y)
    return outcome


numpy_files = st.tuples(
    st.dictionaries(st.sampled_from(list(SOUND)), st.none() | an_array, max_size=2),
    st.just([]) | st.just([]) | contents,
)

MODES = ["L", "RGB", "RGBA", "P", "1", "LA", "CMYK", "I;16", "I", "F"]
NAMES = [
    "a.png",
    "b.jpg",
    "c.PNG",
    "d.jpeg",
    ".hidden",
    "Thumbs.db",
    "e.txt",
    "f.gif",
    "é.png",
]
CLASSES = ["cat", "dog"]
PLACES = [
    f"{part}{name}" for part in ("", "train/", "test/", "val/") for name in CLASSES
]
an_entry = st.tuples(
    st.sampled_from(CLASSES * 3 + PLACES + [".", "x/y", "fox"]),
    st.sampled_from(NAMES[:2] * 3 + NAMES),
    st.sampled_from(MODES[:2] * 8 + MODES),
    st.sampled_from([(4, 4)] * 8 + [(4, 5), (1, 1)]),
    st.one_of(*[st.just([])] * 8, contents),
)


def image_folder(entries: list[tuple], folder: Path) -> str:
    """A folder of images good and bad."""
    root = folder / "mine"
    root.mkdir()
    sound = [(name, f"{i}.png", "L", (4, 4), []) for name in CLASSES for i in range(3)]
    for place, name, mode, size, what in sound + entries:
        (root / place).mkdir(parents=True, exist_ok=True)
        buffer = io.BytesIO()
        try:
            kind = "JPEG" if name.lower().endswith(("jpg", "jpeg")) else "PNG"
            PIL.Image.new(mode, size).save(buffer, kind)
        except OSError:  # a mode that this format has not
            PIL.Image.new("L", size).save(buffer, "PNG")
        (root / place / name).write_bytes(spoiled(buffer.getvalue(), what))
    data, outcome = attempt(lambda: datasets.load(str(root)), root)
    if data:
        check_dataset(data)
    return outcome


# Adversarial examples on disk


def examples(value: tuple, folder: Path) -> str:
    """A file of adversarial examples, of arrays good and bad, or spoiled."""
    suffix, images, labels, what = value
    path, held = folder / f"mine_10.0{suffix}", made(images)
    if suffix == ".npz":
        np.savez(path, images=held, labels=made(labels))
    elif suffix == ".npy":
        np.save(path, held)
    else:
        path.write_bytes(pickle.dumps(held))
    path.write_bytes(spoiled(path.read_bytes(), what))
    file, outcome = attempt(lambda: attack_files.load(path), path)
    if file:
        assert file.images.dtype == np.float32 and file.images.ndim == 4
        assert file.images.min() >= 0 and file.images.max() <= 1
        assert file.confidence == 10 and file.name == "mine"
        assert file.labels is None or file.labels.shape == file.images.shape[:1]
        if not what:
            np.testing.assert_allclose(file.images, held, atol=2e-3)
    return outcome


attack_data = st.tuples(
    st.sampled_from([".npz", ".npy", ".pkl", ".txt"]),
    st.sampled_from([SOUND["x_test"], ("f8", (5, 4, 4, 1), "images")]) | an_array,
    st.sampled_from([("i8", (6,), "labels"), ("u1", (5,), "zero")]) | an_array,
    st.just([]) | contents,
)

KINDS = {
    "pickle": Kind(pickles, pickled, share=1200, in_ci=60),
    "keras2": Kind(json_edits, described, share=250, in_ci=10),
    "hdf5": Kind(contents, keras_2_bytes, share=60, in_ci=2),
    "keras": Kind(models, keras_3_file, share=250, in_ci=10),
    "magnet": Kind(json_edits, defence_file, share=150, in_ci=4),
    "weights": Kind(weights, keras_3_file, share=40, in_ci=1),
    "npz": Kind(numpy_files, numpy_file, share=900, in_ci=40),
    "folder": Kind(st.lists(an_entry, max_size=3), image_folder, share=400, in_ci=20),
    "examples": Kind(attack_data, examples, share=500, in_ci=30),
}
