"""HDF5 files from elsewhere, read in a process of their own and within a time limit.

A few damaged bytes keep libhdf5 busy for ever, or end the process that it runs in.
"""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

SECONDS = 60.0  # and as long again for every 100 MB
SIGNATURE = b"\x89HDF\r\n\x1a\n"


class HDF5Error(ValueError):
    """An HDF5 file cannot be read; the message says why, and is for whoever asked."""


class Contents(NamedTuple):
    """What an HDF5 file holds, by the path of the object, such as "model_weights/dense_1".

    Attributes:
        attributes: {object: {name: a text, a list of texts, or None for other things}}.
        problems: {array: why it could not be read}.
        arrays: {array: its numbers}.
    """

    attributes: dict[str, dict[str, str | list[str] | None]]
    problems: dict[str, str]
    arrays: dict[str, np.ndarray]


def read(file_bytes: bytes) -> Contents:
    """All that an HDF5 file holds.

    Args:
        file_bytes: the file's.

    Raises:
        HDF5Error: it is no HDF5 file, or so damaged that its reader fails or does not end.
    """
    with _read(file_bytes) as archive:
        outline = json.loads(archive["outline"].tobytes())
        if "refused" in outline:
            raise HDF5Error(f"it is damaged or cut short ({outline['refused']})")
        arrays = {
            name: archive[f"array_{index}"]
            for index, name in enumerate(outline["arrays"])
        }
    return Contents(outline["attributes"], outline["problems"], arrays)


def check(file_bytes: bytes) -> None:
    """Raises HDF5Error where a file, or an array in it, cannot be read; see `read`."""
    with _read(file_bytes, "--check") as archive:
        outline = json.loads(archive["outline"].tobytes())
    problems = [f"{name}: {why}" for name, why in outline.get("problems", {}).items()]
    if problem := outline.get("refused") or next(iter(problems), None):
        raise HDF5Error(f"it is damaged or cut short ({problem})")


def _read(file_bytes: bytes, *options: str) -> np.lib.npyio.NpzFile:
    reader = Path(__file__).with_name("hdf5_reader.py")
    limit = SECONDS * (1 + len(file_bytes) / 1e8)
    try:
        ran = subprocess.run(
            [sys.executable, "-P", str(reader), *options],
            input=file_bytes,
            capture_output=True,
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise HDF5Error(
            f"reading it does not end within {limit:.0f} seconds"
        ) from error
    if ran.returncode:
        last = ran.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise HDF5Error(
            f"its reader ended with status {ran.returncode}"
            + (f", saying {last[0]!r}" if last else "")
        )
    return np.load(io.BytesIO(ran.stdout), allow_pickle=False)
