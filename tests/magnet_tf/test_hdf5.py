"""Damaged HDF5 files, read in a process of their own: an answer in time, always."""

import io
import zipfile

import h5py
import keras
import numpy as np
import pytest

from magnet_tf import hdf5, legacy, saved

ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


def written(edit=lambda file: None) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["model_config"] = '{"class_name": "Sequential"}'
        file["model_weights/dense_1/kernel:0"] = ARRAY
        file["model_weights/dense_1"].attrs["weight_names"] = [b"kernel:0"]
        edit(file)
    return buffer.getvalue()


def endless() -> bytes:
    """A file in whose heap of texts, of `model_config` among them, each leads to itself.

    libhdf5 goes from one object of the heap to the next by its size, a number of 8 bytes
    from the 25th on of the heap; of this size it never reaches the end.
    """
    content = bytearray(written())
    content[content.index(b"GCOL") + 24] = 255
    return bytes(content)


def test_all_that_a_file_holds():
    contents = hdf5.read(written())
    assert list(contents.arrays) == ["model_weights/dense_1/kernel:0"]
    np.testing.assert_array_equal(*contents.arrays.values(), ARRAY)
    assert contents.attributes["/"] == {"model_config": '{"class_name": "Sequential"}'}
    assert contents.attributes["model_weights/dense_1"] == {
        "weight_names": ["kernel:0"]
    }
    assert contents.problems == {}


def test_what_is_left_out(tmp_path):
    (tmp_path / "secret").write_bytes(bytes(24))

    def edit(file):
        file["texts"] = ["a", "b"]
        file["link"] = h5py.ExternalLink(str(tmp_path / "secret"), "/")
        place = [(str(tmp_path / "secret"), 0, 24)]
        file.create_dataset("elsewhere", (6,), "f4", external=place)
        file.create_dataset("huge", (10**12,), "f4", chunks=True)

    contents = hdf5.read(written(edit))
    assert list(contents.arrays) == ["model_weights/dense_1/kernel:0"]
    assert "another file" in contents.problems["elsewhere"]
    assert "larger than its file" in contents.problems["huge"]


def test_a_file_that_keeps_the_reader_busy_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr(hdf5, "SECONDS", 1.0)
    path = tmp_path / "MNIST_I"
    path.write_bytes(endless())
    with pytest.raises(legacy.LegacyError, match="MNIST_I: .*not end within 1 seconds"):
        legacy.load_model(path)
    path = path.with_suffix(".keras")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", endless())
    with pytest.raises(saved.SavedModelError, match=r"I\.keras .*not end within 1 sec"):
        saved.load_model(path)


def test_a_reader_that_crashes_is_reported(monkeypatch):
    monkeypatch.setattr(hdf5.sys, "executable", "false")
    with pytest.raises(hdf5.HDF5Error, match="its reader ended with status 1"):
        hdf5.read(written())


def test_weights_cut_short_in_a_keras_file(tmp_path):
    model = keras.Sequential([keras.layers.Input((50,)), keras.layers.Dense(40)])
    model.save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    content = members["model.weights.h5"]
    members["model.weights.h5"] = content[: len(content) // 2]
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(
        saved.SavedModelError, match="weights cannot be read.*cut short"
    ):
        saved.load_model(tmp_path / "m.keras")


def test_weights_in_bfloat16_are_read(tmp_path):
    model = keras.Sequential(
        [keras.layers.Input((5,)), keras.layers.Dense(4, dtype="bfloat16")]
    )
    model.save(tmp_path / "m.keras")
    loaded = saved.load_model(tmp_path / "m.keras")
    for one, other in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(one, other)
