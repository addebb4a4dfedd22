"""Files that are either whole or not there, and that one process at a time writes."""

import contextlib
import errno
import hashlib
import os
import shutil
import sys
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock

from magnet_tf.errors import UserError

# As the operating system says it, and libraries in an error of their own.
FULL = [
    os.strerror(getattr(errno, name))
    for name in ("ENOSPC", "EDQUOT", "EFBIG")
    if hasattr(errno, name)
]

# What NumPy, zipfile and zlib raise for a `.npz` that is not as it was written.
DAMAGE = (
    EOFError,
    KeyError,
    MemoryError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    tokenize.TokenError,  # of a header, from Python 3.12 on
    zipfile.BadZipFile,
    zlib.error,
)


class WriteError(UserError, OSError):
    """A file could not be written; the message says where and why."""


class LockedError(UserError, OSError):
    """Another process holds a lock."""


def write(path: Path, save: Callable[[Path], object]) -> None:
    """Writes a file under a temporary name first, which is then changed.

    The temporary name keeps the suffixes, by which Keras and NumPy know the format.

    Args:
        path: of the finished file; as it was before where writing fails.
        save: writes a file at the path that it is given.

    Raises:
        WriteError: the disk is full, or the place cannot be written to.
    """
    with temporary_name(path) as temporary:
        save(temporary)
        os.replace(temporary, path)


def write_folder(path: Path, save: Callable[[Path], object]) -> None:
    """Writes a folder under a temporary name first, whose files then move to their place.

    Args:
        path: of the finished folder; what else it holds stays.
        save: writes a folder at the path that it is given.

    Raises:
        WriteError: the disk is full, or the place cannot be written to.
    """
    with temporary_name(path) as temporary:
        save(temporary)
        for file in temporary.rglob("*"):
            if file.is_file():
                target = path / file.relative_to(temporary)
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(file, target)


@contextlib.contextmanager
def temporary_name(path: Path) -> Iterator[Path]:
    """A name beside a path; what is still there in the end, or on failure, is removed."""
    temporary = path.with_name(f"partial-{path.name}")
    try:
        yield temporary
    except WriteError:
        raise
    except Exception as error:
        full = [reason for reason in FULL if reason in str(error)]
        if not full and not isinstance(error, OSError):
            raise
        problem = full[0] if full else getattr(error, "strerror", None) or error
        remedy = "make room there, or choose" if full else "choose"
        raise WriteError(
            f"{path} could not be written ({problem}); {remedy} another place. What was "
            "there before is unchanged."
        ) from error
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes a text file whole, in UTF-8 and with the text's own line ends, anywhere.

    Where the system says that names are ASCII, a path of other letters is in Python one of
    lone surrogates; the bytes that they stand for are written, which are UTF-8 again.
    """
    data = text.encode("utf-8", errors="surrogateescape")
    write(path, lambda file: file.write_bytes(data))


def set_aside(path: Path, why: str, state: str = "damaged") -> None:
    """Renames a file that cannot be used, and says so.

    Args:
        path: of the file.
        why: what is said of it.
        state: the suffix of its new name.
    """
    aside = path.with_name(f"{path.name}.{state}")
    os.replace(path, aside)
    print(f"{path} {why}; it was kept as {aside.name}.", file=sys.stderr, flush=True)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keeps other processes out of what the same lock file stands for.

    The lock is the operating system's, so that it ends with the process, however that ends;
    the empty file stays. Further calls of the same process are kept out, too.

    Args:
        path: of the lock file, made where it is missing.

    Raises:
        LockedError: another holds the lock; nothing is waited for.
        OSError: the lock file cannot be made there.
    """
    lock = filelock.FileLock(path)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout as error:
        raise LockedError(
            f"{path} is held by another process; wait until that has ended."
        ) from error
    try:
        yield
    finally:
        lock.release()
