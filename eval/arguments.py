"""What the values of a command's flags must be, each with one clear error."""

import importlib
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import keras
import numpy as np

from magnet_tf import files
from magnet_tf.errors import UserError


class FlagError(UserError, ValueError):
    """A flag has a value that it does not take, or contradicts another."""


def check_backend() -> None:
    """That Keras computes with TensorFlow, for a command that attacks.

    Raises:
        FlagError: it computes with something else.
    """
    if (backend := keras.backend.backend()) != "tensorflow":
        raise FlagError(
            f"the attacks need TensorFlow's gradients, and Keras computes with {backend!r} "
            "here; run this with KERAS_BACKEND=tensorflow, which loads what was trained "
            "under another backend."
        )


def imported(name: str) -> str:
    """Imports a module of the user's; the digest of its file.

    The working folder is looked into last: the command `magnet` does not do so by itself, and
    a `train.py` there stays hidden behind the package of that name.

    Raises:
        FlagError: there is none, or importing it fails.
    """
    if (here := str(Path.cwd())) not in sys.path and "" not in sys.path:
        sys.path.append(here)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise FlagError(f"--modules={name}: {error}.") from error
    except (Exception, SystemExit) as error:
        raise FlagError(
            f"--modules={name}: importing it failed with {type(error).__name__}: {error}."
        ) from error
    path = getattr(module, "__file__", None)
    return files.sha256(Path(path)) if path else ""


def check_names(flag: str, names: Sequence[str], known: Collection[str]) -> None:
    """That a list on a command line names only what is known.

    Raises:
        FlagError: it names something else.
    """
    if unknown := [name for name in names if name not in known]:
        raise FlagError(
            f"--{flag}: there is no {unknown[0]!r}; expected some of {','.join(known)}."
        )


def numbers(flag: str, texts: Sequence[str] | None) -> list[float]:
    """The numbers of a list on a command line.

    Raises:
        FlagError: one is no number of at least 0 that float32 holds.
    """
    try:
        values = [float(text) for text in texts or ()]
    except ValueError as error:
        raise FlagError(
            f"--{flag}: expected numbers such as 0,10,20, got {','.join(texts or ())}."
        ) from error
    if not all(0 <= value <= float(np.finfo(np.float32).max) for value in values):
        raise FlagError(
            f"--{flag}: each must be at least 0 and within float32's range, got "
            f"{','.join(texts or ())}."
        )
    return values
