"""An unfinished training on disk, from which it goes on to the same weights bit by bit.

A file is a SHA-256 and then a NumPy archive of the weights, the optimizer and the settings.
It is made in memory and then written at once, so that a full disk ends in one error.
"""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from magnet_tf import files

DIGEST = hashlib.sha256().digest_size


def path_of(model: Path, settings: Mapping) -> Path:
    """Where the checkpoint of a training to a model's file lies."""
    key = hashlib.sha256(_text(settings).encode()).hexdigest()
    return model.with_name(f"{model.stem}.{key[:12]}.checkpoint")


def save(path: Path, model: keras.Model, settings: Mapping) -> None:
    """Writes the state of a training.

    Args:
        path: of the checkpoint.
        model: compiled, its optimizer built.
        settings: what determines the training; what JSON can hold.

    Raises:
        WriteError: the disk is full, or the place cannot be written to.
    """
    arrays = [keras.ops.convert_to_numpy(variable) for variable in _state(model)]
    buffer = io.BytesIO()
    np.savez(buffer, *arrays, settings=_text(settings))
    content = buffer.getvalue()
    digest = hashlib.sha256(content).digest()
    files.write(path, lambda file: file.write_bytes(digest + content))


def load(path: Path, model: keras.Model, settings: Mapping) -> None:
    """Puts a model where a training stopped, or as it was where it cannot go on from there.

    A checkpoint that is damaged, or of another training, is set aside with a sentence.

    Args:
        path: of the checkpoint.
        model, settings: as for `save`.
    """
    content = path.read_bytes()
    if content[:DIGEST] != hashlib.sha256(content[DIGEST:]).digest():
        files.set_aside(path, "is damaged; training starts again")
        return
    with np.load(io.BytesIO(content[DIGEST:]), allow_pickle=False) as archive:
        arrays = [archive[f"arr_{index}"] for index in range(len(archive.files) - 1)]
        same_settings = str(archive["settings"]) == _text(settings)
    state = _state(model)
    if not same_settings or [a.shape for a in arrays] != [v.shape for v in state]:
        files.set_aside(
            path, "is of another training; this one starts again", "outdated"
        )
        return
    for variable, array in zip(state, arrays):
        variable.assign(array)


def _state(model: keras.Model) -> list[Any]:
    return [*model.weights, *model.optimizer.variables]


def _text(settings: Mapping) -> str:
    return json.dumps(settings, sort_keys=True)
