"""An evaluation's finished work on disk, so that a second run does only what is missing."""

import fcntl
import hashlib
import json
import zipfile
import zlib
from pathlib import Path

import numpy as np

from magnet_tf.errors import UserError
from magnet_tf.files import set_aside, write, write_text

# What NumPy, zipfile and zlib raise for files that are not as they were written.
DAMAGE = (
    EOFError,
    KeyError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)


class StoreError(UserError, RuntimeError):
    """The output directory cannot be used by this run."""


class Store:
    """Arrays by name in a directory that belongs to one run with one set of settings.

    A file is written whole, under a temporary name that is then changed. It carries the
    settings that made it and a digest; one that is truncated, altered or made with other
    settings is named, set aside and made again.

    Args:
        directory: created where it is missing; locked until the process ends.
        settings: what every file in it depends on.

    Raises:
        StoreError: the directory is not writable, is in use by another run, or belongs to
            one with other settings.

    Attributes:
        reused, made: how many files `load` found and `save` wrote.
    """

    def __init__(self, directory: Path, settings: dict):
        self.directory = Path(directory)
        self.reused = self.made = 0
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._lock = (self.directory / ".lock").open("w")
        except OSError as error:
            raise StoreError(
                f"cannot write to {self.directory} ({error.strerror}); "
                "choose another --output_dir."
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreError(
                f"{self.directory} is in use by another run; wait for it, or choose another "
                "--output_dir."
            ) from error
        self._check_settings(settings)

    def _check_settings(self, settings: dict) -> None:
        path = self.directory / "settings.json"
        settings = json.loads(json.dumps(settings))
        if path.exists():
            try:
                theirs = dict(json.loads(path.read_text()))
            except (ValueError, TypeError):
                set_aside(path, "is damaged")
                theirs = settings
            if differing := sorted(
                key
                for key in settings.keys() | theirs.keys()
                if settings.get(key) != theirs.get(key)
            ):
                raise StoreError(
                    f"{self.directory} belongs to a run with other settings ("
                    + ", ".join(
                        f"{key}: {theirs.get(key)} there, {settings.get(key)} here"
                        for key in differing
                    )
                    + "); choose another --output_dir."
                )
        write_text(path, json.dumps(settings, indent=1))

    def load(self, name: str, settings: dict) -> dict[str, np.ndarray] | None:
        """The arrays saved under a name with these settings, None where there are none."""
        path = self._path(name)
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as archive:
                arrays = {key: archive[key] for key in archive.files}
            stored, digest = str(arrays.pop("settings")), str(arrays.pop("digest"))
            if digest != _digest(stored, arrays):
                raise ValueError("its content does not match its digest")
        except DAMAGE as error:
            set_aside(path, f"is damaged ({error}) and is made again")
            return None
        if stored != json.dumps(settings, sort_keys=True):
            set_aside(path, "was made with other settings or models and is made again")
            return None
        self.reused += 1
        return arrays

    def save(self, name: str, settings: dict, arrays: dict[str, np.ndarray]) -> None:
        """Saves arrays under a name, with the settings that made them."""
        stored = json.dumps(settings, sort_keys=True)
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = _digest(stored, arrays)
        write(
            path,
            lambda file: np.savez_compressed(
                file, **arrays, settings=stored, digest=digest
            ),
        )
        self.made += 1

    def _path(self, name: str) -> Path:
        return self.directory / f"{name}.npz"


def _digest(settings: str, arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256(settings.encode())
    for key in sorted(arrays):
        array = np.ascontiguousarray(arrays[key])
        digest.update(f"{key} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
