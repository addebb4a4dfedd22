"""Trained models on disk: a `.keras` file, and a card beside it that says what it is.

A card is JSON under the model's name, `<stem>.json`. It holds the SHA-256 of the model's file
and a digest of its own content, so that neither is altered unnoticed. A MagNet variant of the
zoo has a card alone.
"""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import keras

from magnet_tf import files
from magnet_tf.errors import UserError
from magnet_tf.keras_files import SavedModelError, refusal

PACKAGE = Path(__file__).resolve().parent


class CardError(UserError, ValueError):
    """A file is not a model with a card of ours, or not the one that was asked for."""


class DamagedError(CardError):
    """A model or its card is missing, or is not what was written."""


@dataclass(frozen=True)
class Trained:
    """A trained model as it was found on disk.

    Attributes:
        model: without its optimizer.
        card: how it was trained, and how well it does.
        fingerprint: the SHA-256 of its file, which tells it from every other model.
    """

    model: keras.Model
    card: dict
    fingerprint: str

    @property
    def quality(self) -> str:
        """How well it does by its card, such as "test accuracy 0.9944"."""
        measured = ("test_accuracy", "validation_mse")
        key = next(key for key in measured if key in self.card)
        return f"{key.replace('_', ' ')} {self.card[key]:.4g}"


def path_of(model: Path) -> Path:
    """Where a model's card lies."""
    return model.with_suffix(".json")


def write(path: Path, card: dict) -> None:
    """Writes a card, whole, with its digest.

    Args:
        path: of the card.
        card: what JSON can hold, no NaN; keys are texts.
    """
    card = {**card, "digest": _digest(card)}
    files.write_text(path, json.dumps(card, indent=1, allow_nan=False))


def read(path: Path) -> dict:
    """A card's content, without its digest.

    Args:
        path: of the card.

    Raises:
        DamagedError: it is missing, or is not what was written.
        CardError: it is a JSON file, but no card.
    """
    try:
        card = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise DamagedError(f"{path} is missing.") from error
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{path} is damaged: it is not JSON.") from error
    if not isinstance(card, dict) or "digest" not in card:
        raise CardError(
            f"{path} is not a card of a model that was trained here, or one of an earlier "
            "version; choose another place, or move it away."
        )
    digest = card.pop("digest")
    if digest != _digest(card):
        raise DamagedError(f"{path} is damaged: its content does not match its digest.")
    return card


def checked(path: Path, **asked: object) -> dict:
    """The card of a model's file, if it is the file that the card was written for.

    Args:
        path: of the model.
        asked: what the card must say.

    Raises:
        DamagedError: the model or its card is missing, or is not what was written.
        CardError: there is another file, or the card says something else.
    """
    if not path.exists():
        raise DamagedError(f"{path} is missing.")
    if not path_of(path).exists():
        raise CardError(
            f"{path} has no card, {path_of(path).name}, and so was not trained here; choose "
            "another place, or move it away."
        )
    card = read(path_of(path))
    if card.get("sha256") != files.sha256(path):
        raise DamagedError(f"{path} is damaged: it is not the file on its card.")
    for key, value in json.loads(json.dumps(asked)).items():  # as a card has them
        if card.get(key) != value:
            raise CardError(
                f"{path} was trained with {key} {card.get(key)!r}, not {value!r}; choose "
                "another place, or move it away to train it again."
            )
    return card


def load(path: Path, **asked: object) -> Trained:
    """The trained model at a path; nothing is written or renamed.

    Args:
        path: of the model.
        asked: what its card must say.

    Raises:
        CardError: as for `checked`.
        SavedModelError: Keras refuses the file.
    """
    card = checked(path, **asked)
    try:
        model = keras.saving.load_model(path, compile=False)
    except Exception as error:
        raise SavedModelError(f"{path} {refusal(error)}") from error
    return Trained(model, card, card["sha256"])


def load_or_set_aside(path: Path, **asked: object) -> Trained | None:
    """The trained model at a path that may be written to, None where there is none.

    What is damaged is renamed, with a sentence. In this package nothing is: there it is
    raised, as it is that there is no model.

    Args:
        path: of the model.
        asked: what its card must say.

    Raises:
        DamagedError: a file of this package is damaged, or is not there.
        CardError: what is there was not trained here, or otherwise.
        SavedModelError: Keras refuses the file.
    """
    if PACKAGE in path.resolve().parents:
        try:
            return load(path, **asked)
        except DamagedError as error:
            raise DamagedError(
                f"{error} Models are not trained into the package; install it again, or "
                "choose another place for them."
            ) from error
    present = [file for file in (path, path_of(path)) if file.exists()]
    try:
        if path in present:
            return load(path, **asked)
        if present:
            read(path_of(path))  # nobody else's
    except DamagedError as error:
        for file in present:
            files.set_aside(file, f"cannot be used ({error})")
    return None


def save(path: Path, model: keras.Model, card: dict) -> Trained:
    """Writes a model and its card; what is there is replaced.

    The card comes first: a model without one is somebody else's.

    Args:
        path: of the model, a `.keras` file.
        card: what to say of it; its file's SHA-256 is added.

    Raises:
        WriteError: the disk is full, or the place cannot be written to.
    """
    with files.temporary_name(path) as temporary:
        model.save(temporary)
        card = {**card, "sha256": files.sha256(temporary)}
        card = json.loads(json.dumps(card))  # as `load` gives it
        write(path_of(path), card)
        os.replace(temporary, path)
    return Trained(model, card, card["sha256"])


def put(path: Path, content: bytes, card: dict) -> None:
    """Writes a model that was saved elsewhere, and its card; what is there is replaced.

    Args:
        path: of the model, a `.keras` file.
        content: of the file.
        card: as `save` gave it.

    Raises:
        WriteError: the disk is full, or the place cannot be written to.
    """
    with files.temporary_name(path) as temporary:
        temporary.write_bytes(content)
        write(path_of(path), card)
        os.replace(temporary, path)


def _digest(card: dict) -> str:
    text = json.dumps(card, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
