"""The store: what was saved comes back as it was, or not at all."""

import io
import json
import os
import pickle
import shutil
import subprocess
import sys

import numpy as np
import pytest

from eval.store import Store, StoreError

SETTINGS = {"dataset": "digits", "seed": 0, "confidences": (0, 10)}
MADE_WITH = {"classifier": "abc", "num_examples": 3}
ARRAYS = {
    "L2/adversarial": np.random.RandomState(0).uniform(size=(3, 4)).astype(np.float32),
    "L2/success": np.array([True, False, True]),
    "order": np.arange(3),
    "distances": np.array([0.1, np.inf, np.nan]),
    "none": np.zeros((0, 2)),
}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "run", SETTINGS)


@pytest.fixture
def saved(store):
    """The path of a saved file."""
    store.save("attacks/one", MADE_WITH, ARRAYS)
    return store.directory / "attacks/one.npz"


def assert_same(arrays, expected=ARRAYS):
    assert set(arrays) == set(expected)
    for key, value in expected.items():
        np.testing.assert_array_equal(arrays[key], value)
        assert arrays[key].dtype == value.dtype


def assert_set_aside(path, content: bytes, stderr: str, state="damaged") -> None:
    """A file was named in a message and is kept under another name."""
    assert str(path) in stderr and not path.exists()
    assert path.with_name(f"{path.name}.{state}").read_bytes() == content


# Saving and loading


def test_what_is_saved_comes_back(store, saved):
    assert_same(store.load("attacks/one", MADE_WITH))
    assert (store.made, store.reused) == (1, 1)


def test_what_was_not_saved_is_missing(store, capsys):
    assert store.load("attacks/two", MADE_WITH) is None
    assert (store.made, store.reused) == (0, 0) and not capsys.readouterr().err


def test_settings_match_in_any_order(store, saved):
    assert_same(store.load("attacks/one", dict(reversed(MADE_WITH.items()))))


@pytest.mark.parametrize(
    "settings",
    [{**MADE_WITH, "classifier": "abd"}, {"classifier": "abc"}, {**MADE_WITH, "c": 1}],
)
def test_a_file_made_with_other_settings_is_set_aside(settings, store, saved, capsys):
    content = saved.read_bytes()
    assert store.load("attacks/one", settings) is None
    stderr = capsys.readouterr().err
    assert "other settings" in stderr and store.reused == 0
    assert_set_aside(saved, content, stderr, "outdated")


@pytest.mark.parametrize("to", ["attacks/two", "verdicts/one", "one"])
def test_a_copy_under_another_name_is_set_aside(to, store, saved, capsys):
    path = store.directory / f"{to}.npz"
    path.parent.mkdir(exist_ok=True)
    shutil.copy(saved, path)
    assert store.load(to, MADE_WITH) is None
    stderr = capsys.readouterr().err
    assert "is a copy of 'attacks/one'" in stderr
    assert_set_aside(path, saved.read_bytes(), stderr)
    assert_same(store.load("attacks/one", MADE_WITH))


def test_an_altered_name_is_noticed(store, saved, capsys):
    with np.load(saved) as archive:
        arrays = dict(archive)
    path = store.directory / "attacks/two.npz"
    np.savez_compressed(path, **{**arrays, "name": "attacks/two"})
    assert store.load("attacks/two", MADE_WITH) is None
    assert "does not match its digest" in capsys.readouterr().err


def test_files_of_an_earlier_version_are_set_aside(store, saved, capsys):
    """Whose digests did not cover their names, and whose settings had none."""
    np.savez_compressed(saved, settings="{}", digest="0", order=np.arange(3))
    content = saved.read_bytes()
    assert store.load("attacks/one", MADE_WITH) is None
    stderr = capsys.readouterr().err
    assert "is of an earlier version and is made again" in stderr
    assert_set_aside(saved, content, stderr, "outdated")
    store.close()
    path = store.directory / "settings.json"
    path.write_text(json.dumps({"num_examples": 5, "seed": 1}))
    Store(store.directory, SETTINGS).close()
    assert "settings.json is of an earlier version" in capsys.readouterr().err
    assert path.with_name("settings.json.outdated").exists()


def test_a_file_is_replaced_whole_or_not_at_all(store, saved, monkeypatch):
    def half_written(path, **arrays):
        path.write_bytes(b"PK half a file")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", half_written)
    with pytest.raises(OSError, match="No space"):
        store.save("attacks/one", MADE_WITH, {"order": np.arange(5)})
    assert_same(store.load("attacks/one", MADE_WITH))
    with pytest.raises(OSError, match="No space"):
        store.save("attacks/two", MADE_WITH, {"order": np.arange(5)})
    assert store.load("attacks/two", MADE_WITH) is None


# Damage


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_set_aside(share, store, saved, capsys):
    content = saved.read_bytes()
    truncated = content[: int(len(content) * share)]
    saved.write_bytes(truncated)
    assert store.load("attacks/one", MADE_WITH) is None
    assert_set_aside(saved, truncated, capsys.readouterr().err)
    store.save("attacks/one", MADE_WITH, ARRAYS)
    assert_same(store.load("attacks/one", MADE_WITH))


def test_no_altered_byte_changes_what_comes_back(store):
    """The file is set aside or, where the byte says nothing, read as it was."""
    expected = {"order": np.arange(3), "success": np.array([True, False])}
    store.save("small", MADE_WITH, expected)
    path = store.directory / "small.npz"
    content = path.read_bytes()
    set_aside = 0
    for at in range(len(content)):
        altered = bytearray(content)
        altered[at] ^= 0xFF if at % 2 else 0x01
        path.write_bytes(altered)
        if (arrays := store.load("small", MADE_WITH)) is None:
            set_aside += 1
        else:
            assert_same(arrays, expected)
    assert set_aside > len(content) / 2


def test_an_altered_value_is_noticed(store, saved, capsys):
    """In a file that is whole as far as zip can tell."""
    with np.load(saved) as archive:
        arrays = dict(archive)
    arrays["order"] = arrays["order"] + 1
    np.savez_compressed(saved, **arrays)
    content = saved.read_bytes()
    assert store.load("attacks/one", MADE_WITH) is None
    stderr = capsys.readouterr().err
    assert "does not match its digest" in stderr
    assert_set_aside(saved, content, stderr)


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.arange(3))
    return file.getvalue()


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, order=np.arange(3))
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"not an archive", npy(), npz(), pickle.dumps([1])],
    ids=["empty", "text", "npy", "npz of others", "pickle"],
)
def test_foreign_content_is_set_aside(content, store, saved, capsys):
    saved.write_bytes(content)
    assert store.load("attacks/one", MADE_WITH) is None
    assert_set_aside(saved, content, capsys.readouterr().err)


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_no_pickle_is_read(store, saved, tmp_path):
    trap = np.array([Trap(tmp_path / "sprung"), None], dtype=object)
    np.savez(saved, settings=json.dumps(MADE_WITH), digest="0", order=trap)
    assert store.load("attacks/one", MADE_WITH) is None
    assert not (tmp_path / "sprung").exists()


# The directory


HOLD = """
import sys
from eval.store import Store
store = Store(sys.argv[1], {"dataset": "digits"})
print("held", flush=True)
sys.stdin.read()
"""


def test_a_directory_in_use_by_another_process(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(StoreError, match=f"{tmp_path} is in use by another run"):
            Store(tmp_path, {"dataset": "digits"})
        process.kill()
    Store(tmp_path, {"dataset": "digits"})  # the lock ended with its holder


def test_a_directory_of_other_settings(store):
    store.close()
    other = {"dataset": "mnist", "seed": 0, "confidences": (0, 10), "new": 1}
    with pytest.raises(StoreError, match="belongs to a run with other sett") as raised:
        Store(store.directory, other)
    message = str(raised.value)
    assert "dataset: digits there, mnist here" in message
    assert "new: None there, 1 here" in message
    assert "seed" not in message and "confidences" not in message
    there = json.loads((store.directory / "settings.json").read_text())["settings"]
    assert there == {**SETTINGS, "confidences": [0, 10]}


def test_a_directory_of_the_same_settings(store, saved):
    store.close()
    again = Store(store.directory, SETTINGS)
    assert_same(again.load("attacks/one", MADE_WITH))
    assert (again.made, again.reused) == (0, 1)


@pytest.mark.parametrize("content", [b"", b'{"dataset": "dig', b"\xff\xfe", b"null"])
def test_damaged_settings_are_set_aside(content, store, saved, capsys):
    store.close()
    path = store.directory / "settings.json"
    path.write_bytes(content)
    again = Store(store.directory, SETTINGS)
    assert "is damaged" in capsys.readouterr().err
    assert (store.directory / "settings.json.damaged").read_bytes() == content
    assert_same(again.load("attacks/one", MADE_WITH))


def test_an_altered_key_of_the_settings_is_damage(store, capsys):
    store.close()
    path = store.directory / "settings.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    Store(store.directory, SETTINGS).close()
    assert "settings.json is damaged" in capsys.readouterr().err
    again = json.loads(path.read_text())["settings"]
    assert again == {**SETTINGS, "confidences": [0, 10]}


def test_a_file_is_not_a_directory(tmp_path):
    (tmp_path / "file").write_text("")
    for directory in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises(StoreError, match=f"cannot write to {directory} "):
            Store(directory, SETTINGS)


@pytest.mark.skipif(
    getattr(os, "geteuid", lambda: 0)() == 0, reason="root and Windows write anywhere"
)
def test_a_directory_that_is_not_writable(tmp_path):
    tmp_path.chmod(0o555)
    for directory in (tmp_path, tmp_path / "below"):
        with pytest.raises(StoreError, match=f"cannot write to {directory} "):
            Store(directory, SETTINGS)
