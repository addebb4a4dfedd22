"""Files that are either whole or not there."""

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path


def write(path: Path, save: Callable[[Path], object]) -> None:
    """Writes a file under a temporary name first, which is then changed.

    The temporary name keeps the suffixes, by which Keras and NumPy know the format.
    """
    temporary = path.with_name(f"partial-{path.name}")
    save(temporary)
    os.replace(temporary, path)


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole."""
    write(path, lambda file: file.write_text(text))


def set_aside(path: Path, why: str) -> None:
    """Renames a file that cannot be used, and says so."""
    aside = path.with_name(f"{path.name}.damaged")
    os.replace(path, aside)
    print(f"{path} {why}; it was kept as {aside.name}.", file=sys.stderr, flush=True)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
