"""A user's own images in an `.npz` file."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from magnet_tf import datasets

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (60, 6, 5, 3), dtype=np.uint8)
Y = np.arange(60) % 3
GOOD = {"x_train": X[:50], "y_train": Y[:50], "x_test": X[50:], "y_test": Y[50:]}


def save(path, **changes):
    """The good file with arrays replaced or, where None, left out."""
    arrays = {
        key: array for key, array in (GOOD | changes).items() if array is not None
    }
    np.savez_compressed(path, **arrays)
    return path


def test_it_is_split_as_any_dataset(tmp_path):
    dataset = datasets.load(str(save(tmp_path / "images.npz")))
    assert dataset.name == "images" and dataset.num_classes == 3
    assert dataset.like == "cifar10" and dataset.zoo is None
    for split, part in (
        (dataset.validation, slice(0, 5)),
        (dataset.train, slice(5, 50)),
        (dataset.test, slice(50, 60)),
    ):
        np.testing.assert_array_equal(split.images, X[part].astype(np.float32) / 255)
        np.testing.assert_array_equal(split.labels, Y[part])
        assert split.images.dtype == np.float32 and split.labels.dtype == np.int64


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.float16])
def test_floats_without_channels(kind, tmp_path):
    grey = {
        key: (GOOD[key][..., 0] / 255).astype(kind) for key in ("x_train", "x_test")
    }
    dataset = datasets.load(save(tmp_path / "images.npz", **grey))
    assert dataset.image_shape == (6, 5, 1) and dataset.like == "mnist"
    expected = grey["x_test"][..., np.newaxis].astype(np.float32)
    np.testing.assert_array_equal(dataset.test.images, expected)


def test_labels_as_a_column_as_keras_has_cifar10s(tmp_path):
    columns = {key: GOOD[key][:, np.newaxis] for key in ("y_train", "y_test")}
    dataset = datasets.load(save(tmp_path / "images.npz", **columns))
    np.testing.assert_array_equal(dataset.test.labels, Y[50:])


def test_training_images_class_by_class_are_mixed(tmp_path):
    """The first tenth would be of one class."""
    order = np.argsort(Y[:50], kind="stable")
    sorted_ones = {"x_train": X[:50][order], "y_train": Y[:50][order]}
    path = save(tmp_path / "images.npz", **sorted_ones)
    dataset, again = datasets.load(path), datasets.load(path)
    assert len(set(dataset.validation.labels)) > 1
    np.testing.assert_array_equal(dataset.train.labels, again.train.labels)
    for split in (dataset.train, dataset.validation):
        for image, label in zip(split.images, split.labels):
            place = (np.rint(image * 255) == X).all(axis=(1, 2, 3)).argmax()
            assert Y[place] == label and place < 50


def test_paths_with_spaces_and_umlauts(tmp_path):
    folder = tmp_path / "Meine Daten"
    folder.mkdir()
    dataset = datasets.load(save(folder / "Äpfel & Birnen.v2.npz"))
    assert dataset.name == "Apfel_Birnen_v2"
    # the same in a locale of ASCII, where Python has other letters as lone surrogates
    assert datasets.dataset.name_of(Path("gr\udcc3\udcbcn.npz")) == "grun"
    dataset = datasets.load(save(folder / "图像.npz"))
    assert dataset.name == "images"


def test_two_files_of_one_name_are_told_apart(tmp_path):
    for folder, changes in (("a", {}), ("b", {}), ("c", {"y_test": Y[49:59]})):
        (tmp_path / folder).mkdir()
        save(tmp_path / folder / "mnist.npz", **changes)
    a, b, c = (datasets.load(tmp_path / folder / "mnist.npz") for folder in "abc")
    assert a.name == c.name == "mnist"
    assert a.fingerprint == b.fingerprint != c.fingerprint
    assert a.identity == f"mnist {a.fingerprint[:12]}"
    assert a.zoo is None and a.like == "cifar10"  # and not what MNIST is given


def ragged(sizes) -> np.ndarray:
    images = np.empty(len(sizes), object)
    images[:] = [np.zeros((size, size), np.uint8) for size in sizes]
    return images


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"y_test": None, "x_test": None},
            r"lacks x_test, y_test; expected the arrays",
        ),
        ({"x_train": ragged(range(2, 52))}, "x_train is pickled.* images of one size"),
        ({"y_train": Y[:50].astype(object)}, "y_train is pickled"),
        ({"y_train": Y[:50].astype(str)}, "y_train has the type <U21.*return_inverse"),
        ({"y_train": Y[:50] * 1.0}, "y_train has the type float64; expected integers"),
        ({"y_train": np.eye(3)[Y[:50]]}, r"y_train has the shape \(50, 3\).*argmax"),
        ({"y_train": Y[:50] + 1, "y_test": Y[50:] + 1}, r"from 1 to 3; .*\(y - 1\)"),
        ({"y_train": Y[:50] - 1}, "the labels run from -1 to 2; expected every class"),
        ({"y_train": Y[:50] * 2, "y_test": Y[50:] * 2}, "from 0 to 4, and none is 1"),
        (
            {"y_test": Y[50:] + 1},
            "y_test has the class 3, of which y_train has no image",
        ),
        ({"y_train": Y[:50] * 0, "y_test": Y[50:] * 0}, "has a single class"),
        ({"y_train": Y[:49]}, "x_train has 50 images, y_train 49 labels"),
        ({"x_train": X[:50, :5]}, r"\(5, 5, 3\), x_test of \(6, 5, 3\); expected one"),
        ({"x_train": X[:50].astype(int)}, "x_train has the type int64; expected 8-bit"),
        ({"x_train": X[:50] * 1.0}, "x_train has values from 0 to 255; .*x / 255"),
        ({"x_test": X[50:] / 127.5 - 1}, "x_test has values from -1 to 1; expected"),
        ({"x_test": X[50:] * np.nan}, "x_test has values from nan to nan"),
        ({"x_train": X[:50] // 200}, "x_train is 8-bit but has no value above 1"),
        (
            {"x_train": X[:50, 0, 0]},
            r"x_train has the shape \(50, 3\); expected images",
        ),
        ({"x_train": X[:0]}, "x_train has the shape"),
        ({"x_train": np.moveaxis(X[:50], -1, 1)}, "channels first.*moveaxis"),
        ({"x_train": X[:1], "y_train": Y[:1] * 0}, "y_test has the class 1"),
        (
            {"x_train": X[:1], "y_train": Y[:1], "x_test": X[:1], "y_test": Y[:1]},
            "has a single class",
        ),
    ],
)
def test_what_cannot_serve_is_refused_in_a_sentence(changes, message, tmp_path):
    path = save(tmp_path / "my images.npz", **changes)
    with pytest.raises(datasets.DatasetError, match=message) as raised:
        datasets.load(path)
    assert str(raised.value).startswith(str(path)) and "\n" not in str(raised.value)


class Trap:
    """Whatever unpickles this fails the test."""

    def __reduce__(self):
        return pytest.fail, ("unpickled",)


def test_what_is_no_such_file(tmp_path):
    path = tmp_path / "images.npz"

    def refused(match: str) -> None:
        with pytest.raises(datasets.DatasetError, match=match) as raised:
            datasets.load(path)
        assert str(raised.value).startswith(str(path))

    refused("does not exist")
    path.write_bytes(b"")
    refused("cannot be read")
    path.write_bytes(pickle.dumps(Trap()))
    refused("cannot be read")
    with path.open("wb") as file:
        np.save(file, X)
    refused("cannot be read")
    trap = np.array([Trap()], object)
    save(path, x_train=trap)
    refused("x_train is pickled")

    whole = save(path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused("cannot be read")
    for place in range(60, len(whole), 97):  # altered bytes: refused, or without effect
        path.write_bytes(
            whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :]
        )
        try:
            found = datasets.load(path)
        except datasets.DatasetError as error:
            assert str(error).startswith(str(path))
        else:
            np.testing.assert_array_equal(found.test.labels, Y[50:])

    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (10**15, 8, 8)}
    )
    save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["x_train.npy"] = header.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    refused("x_train cannot be read")
