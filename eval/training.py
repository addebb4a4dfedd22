"""Trainings as pieces of work: in place where it is done here, else brought from elsewhere."""

import contextlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from eval.engines import Engine, Item
from magnet_tf import cards, datasets, files
from train.provenance import provenance


class Training(NamedTuple):
    """How a model comes about.

    Attributes:
        path: of its `.keras` file.
        function: of `train`, which takes the dataset, the path and `settings`.
        settings: recipe, seed and what else the model is made of.
        asked: what its card must say.
        epochs: of the recipe.
    """

    path: Path
    function: Callable[..., cards.Trained]
    settings: Mapping[str, Any]
    asked: Mapping[str, Any]
    epochs: int


def run(
    dataset: datasets.Dataset, trainings: Sequence[Training], engine: Engine
) -> None:
    """Trains models, each a piece of work; their files are then at their paths.

    Here a training that was interrupted goes on from its checkpoint; elsewhere it begins
    again, and this process alone writes files.

    Args:
        dataset: what they learn from.
        trainings: any number, in no order that matters.
        engine: where they are done.

    Raises:
        LockedError: a model is being trained by another process.
        UserError: a training cannot be done, or its file cannot be written.
    """
    if not trainings:
        return
    given, function = engine.share(dataset), here if engine.here else elsewhere
    items = [
        Item(
            f"{of.path.parent.name}/{of.path.stem}",
            function,
            (of.function, given, dict(of.settings), of.path),
        )
        for of in trainings
    ]
    with contextlib.ExitStack() as locks:
        if not engine.here:
            for of in trainings:
                of.path.parent.mkdir(parents=True, exist_ok=True)
                lock = of.path.with_name(f".{of.path.stem}.lock")
                locks.enter_context(files.locked(lock))
        for place, brought in engine.run(items, "model"):
            if brought:
                content, card = brought
                card = {**card, **provenance()}  # the command that was typed here
                cards.put(trainings[place].path, content, card)


def here(
    function: Callable, dataset: datasets.Dataset, settings: Mapping, path: Path
) -> None:
    """Trains a model at its path."""
    function(dataset=dataset, path=path, **settings)


def elsewhere(
    function: Callable, dataset: datasets.Dataset, settings: Mapping, path: Path
) -> tuple[bytes, dict]:
    """Trains a model in a folder of its own; the content of its file, and its card."""
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / path.name
        trained = function(dataset=dataset, path=own, **settings)
        return own.read_bytes(), trained.card
