"""Models in `.keras` files: read in Keras's safe mode, and refused in a sentence."""

import re
import zipfile
from pathlib import Path

import keras

from magnet_tf import hdf5
from magnet_tf.errors import UserError

WEIGHTS = "model.weights.h5"


class SavedModelError(UserError, ValueError):
    """A saved model cannot be used; the message says why and what to do."""


def load_model(path: str | Path) -> keras.Model:
    """A model from a `.keras` file; no code that the file holds is ever run.

    Args:
        path: of the file.

    Raises:
        SavedModelError: there is no such file, it is no `.keras` file, it holds a Lambda
            layer, a class in it is not known, its weights are damaged, or Keras refuses it
            for another reason.
    """
    path = Path(path)
    if not zipfile.is_zipfile(path):
        problem = "is not a .keras file" if path.exists() else "does not exist"
        raise SavedModelError(f"{path} {problem}; save a model with model.save(path).")
    try:
        with zipfile.ZipFile(path) as archive:
            if WEIGHTS in archive.namelist():
                hdf5.check(archive.read(WEIGHTS))
    except Exception as error:  # zipfile raises many kinds
        raise SavedModelError(
            f"{path} is a .keras file whose weights cannot be read: {reason(error)}."
        ) from error
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:
        raise SavedModelError(f"{path} {refusal(error)}") from error


def refusal(error: Exception) -> str:
    """What Keras's refusal of a file says to its user, to be read after the file's name."""
    text = str(error)
    if "Lambda" in text or "Python lambda" in text:
        return (
            "holds a Lambda layer or another lambda, whose Python code loading would run; "
            "replace it by a built-in layer or function, or by one of your own that is "
            "registered, and save the model again."
        )
    if unknown := re.search(r"Could not locate class '([^']+)'", text):
        return (
            f"holds a class {unknown[1]!r} that is not known here; register it with "
            "keras.saving.register_keras_serializable and import its module first."
        )
    return f"cannot be loaded as a Keras model: {reason(error)}"


def reason(error: Exception) -> str:
    """All that Keras says of an error, in one line.

    Left out are the configurations that it prints between its sentences, and the advice to
    turn safe mode off.
    """
    text = re.sub(
        r"\s*config=\{.*?\}\.\s*Exception encountered:", "", str(error), flags=re.DOTALL
    )
    text = re.sub(r"\s*Full (object )?config: \{.*", "", text, flags=re.DOTALL)
    sentences = re.split(r"(?<=[.!?])\s+", " ".join(text.split()))
    kept = [s for s in sentences if not re.search(r"safe_mode|safe mode|unsafe", s)]
    return " ".join(kept) or type(error).__name__
