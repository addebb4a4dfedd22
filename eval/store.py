"""An evaluation's finished work on disk, so that a second run does only what is missing."""

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np

from magnet_tf import files
from magnet_tf.errors import UserError
from magnet_tf.files import set_aside, write, write_text

OUTDATED = "outdated"


class StoreError(UserError, RuntimeError):
    """The output directory cannot be used by this run."""


class Store:
    """Arrays by name in a directory that belongs to one run with one set of settings.

    A file is written whole, under a temporary name that is then changed. It carries its
    name, the settings that made it and a digest of all; one that is truncated, altered,
    another's copy or made with other settings is named, set aside and made again.

    Args:
        directory: created where it is missing; locked until `close`, or the end of a `with`.
        settings: what every file in it depends on.

    Raises:
        StoreError: the directory is not writable, is in use by another run, or belongs to
            one with other settings.

    Attributes:
        reused, made: how many files `load` found and `save` wrote.
    """

    def __init__(self, directory: Path, settings: Mapping):
        self.directory = Path(directory)
        self.reused = self.made = 0
        self._lock = contextlib.ExitStack()
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._lock.enter_context(files.locked(self.directory / ".lock"))
        except files.LockedError as error:
            raise StoreError(
                f"{self.directory} is in use by another run; wait for it, or choose another "
                "output directory."
            ) from error
        except OSError as error:
            raise StoreError(
                f"cannot write to {self.directory} ({error.strerror}); "
                "choose another output directory."
            ) from error
        try:
            self._check_settings(settings)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets another run have the directory."""
        self._lock.close()

    def _check_settings(self, settings: Mapping) -> None:
        path, ours = self.directory / "settings.json", json.loads(json.dumps(settings))
        theirs = _settings_in(path) if path.exists() else None
        if theirs is not None and (
            differing := sorted(
                key
                for key in ours.keys() | theirs.keys()
                if ours.get(key) != theirs.get(key)
            )
        ):
            raise StoreError(
                f"{self.directory} belongs to a run with other settings ("
                + ", ".join(
                    f"{key}: {theirs.get(key)} there, {ours.get(key)} here"
                    for key in differing
                )
                + "); choose another output directory."
            )
        digest = _digest(path.name, _text(ours), {})
        write_text(path, json.dumps({"settings": ours, "digest": digest}, indent=1))

    def load(self, name: str, settings: Mapping) -> dict[str, np.ndarray] | None:
        """The arrays saved under a name with these settings, None where there are none."""
        path = self._path(name)
        if not path.exists():
            return None
        try:
            arrays = _read(path)
            if "name" not in arrays and {"settings", "digest"} <= arrays.keys():
                set_aside(path, "is of an earlier version and is made again", OUTDATED)
                return None
            stored_name, stored, digest = (
                str(arrays.pop(key)) for key in ("name", "settings", "digest")
            )
            if digest != _digest(stored_name, stored, arrays):
                raise ValueError("its content does not match its digest")
        except files.DAMAGE as error:
            set_aside(path, f"is damaged ({error}) and is made again")
            return None
        if stored_name != name:
            set_aside(path, f"is a copy of {stored_name!r} and is made again")
            return None
        if stored != _text(settings):
            why = "was made with other settings or models and is made again"
            set_aside(path, why, OUTDATED)
            return None
        self.reused += 1
        return arrays

    def save(
        self, name: str, settings: Mapping, arrays: Mapping[str, np.ndarray]
    ) -> None:
        """Saves arrays under a name, with the settings that made them."""
        stored, path = _text(settings), self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = _digest(name, stored, arrays)
        said = {"name": name, "settings": stored, "digest": digest}
        content: dict[str, Any] = {**arrays, **said}
        write(path, lambda file: np.savez_compressed(file, **content))
        self.made += 1

    def _path(self, name: str) -> Path:
        return self.directory / f"{name}.npz"


def arrays_of(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a stored file, whatever made it; the file stays as it is.

    Raises:
        ValueError: its content does not match its digest. Others of `DAMAGE`: it cannot be
            read.
    """
    arrays = _read(path)
    name, settings, digest = (
        str(arrays.pop(key)) for key in ("name", "settings", "digest")
    )
    if digest != _digest(name, settings, arrays):
        raise ValueError(f"the content of {path} does not match its digest")
    return arrays


def _read(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as archive:
        return {key: archive[key] for key in archive.files}


def _settings_in(path: Path) -> dict | None:
    """The settings in a directory's file; None, and set aside, where it cannot be used."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if "digest" not in content and "num_examples" in content:
            set_aside(path, "is of an earlier version", OUTDATED)
            return None
        settings = content["settings"]
        if content["digest"] != _digest(path.name, _text(settings), {}):
            raise ValueError("its content does not match its digest")
    except files.DAMAGE as error:
        set_aside(path, f"is damaged ({error})")
        return None
    return settings


def _text(settings: Mapping) -> str:
    return json.dumps(settings, sort_keys=True)


def _digest(name: str, settings: str, arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(json.dumps([name, settings]).encode())
    for key in sorted(arrays):
        array = np.ascontiguousarray(arrays[key])
        digest.update(f"{key} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
