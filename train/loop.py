"""The training loop: goes on after an interruption, to the same weights bit by bit.

Everything random follows from the seed and the step, and a checkpoint holds the weights
and the optimizer, so that an interrupted training ends where an uninterrupted one does.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np

from magnet_cli.progress import progress
from magnet_tf import cards, files
from train import checkpoint, precision
from train.augmentation import augmented
from train.errors import TrainingError
from train.provenance import provenance
from train.recipes import Recipe
from train.start import normalise

SECONDS_BETWEEN_CHECKPOINTS = 10.0


def train(
    build: Callable[[], keras.Model],
    inputs: np.ndarray,
    targets: np.ndarray,
    recipe: Recipe,
    path: Path,
    settings: dict,
    evaluate: Callable[[keras.Model], dict],
    seed: int,
) -> cards.Trained:
    """Trains a model and saves it with a card, or goes on where it stopped.

    Args:
        build: makes the compiled model.
        inputs: what it sees, first axis N.
        targets: what it learns to answer, first axis N.
        recipe: epochs, batch size and augmentation.
        path: of the finished model, a `.keras` file; the card lies beside it as `.json`.
        settings: what else determines the result (data, architecture, loss); goes to the card.
        evaluate: what the card says of the trained model's quality.
        seed: of the initial weights, the order of the images, dropout and augmentation.

    Returns:
        The trained model; the one that is there, where it was trained just so.

    Raises:
        TrainingError: the path is not that of a `.keras` file.
        CardError: a model that was trained otherwise, or not here, is there.
        LockedError: it is being trained by another process.
        WriteError: the disk is full, or the place cannot be written to.
    """
    if path.suffix != ".keras" or path.is_dir():
        raise TrainingError(
            f"{path}: a model's file is called <name>.keras and is no folder; choose "
            "another name."
        )
    settings = {**settings, **vars(recipe), "seed": seed, "images": len(inputs)}
    settings = json.loads(json.dumps(settings))  # as a card has them
    if finished := cards.load_or_set_aside(path, **settings):
        return finished
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.locked(path.with_name(f".{path.stem}.lock")):
        if finished := cards.load_or_set_aside(path, **settings):  # in between
            return finished
        if recipe.bfloat16:
            settings["computed_in"] = precision_of(path, settings)
        model = fit(build, inputs, targets, recipe, path, settings)
        made_in = {"computed_in": "float32", **provenance()}
        card = {**made_in, **settings, **evaluate(model)}
        trained = cards.save(path, model, card)
        checkpoint.path_of(path, settings).unlink(missing_ok=True)
    return trained


def precision_of(path: Path, settings: Mapping) -> str:
    """What a training computes in: that in which it began, or what pays on this machine."""
    for begun_in in ("bfloat16", "float32"):
        of = {**settings, "computed_in": begun_in}
        if checkpoint.path_of(path, of).exists():
            return begun_in
    if precision.bfloat16_pays():
        return "bfloat16"
    print("This machine is no faster in bfloat16, so it trains in float32.")
    return "float32"


def fit(
    build: Callable[[], keras.Model],
    inputs: np.ndarray,
    targets: np.ndarray,
    recipe: Recipe,
    path: Path,
    settings: dict,
) -> keras.Model:
    """The model after all steps of its recipe, from a checkpoint on where there is one.

    Args:
        build: makes the compiled model.
        inputs: what it sees, first axis N.
        targets: what it learns to answer, first axis N.
        recipe: epochs, batch size and augmentation.
        path: of the finished model, beside which the checkpoint lies.
        settings: what determines the result, among it the seed and, where the recipe
            leaves that to the machine, what is computed in.
    """
    seed, unfinished = settings["seed"], checkpoint.path_of(path, settings)
    in_bfloat16 = settings.get("computed_in") == "bfloat16"
    keras.utils.set_random_seed(seed)
    model = build()
    if recipe.normalised:
        normalise(model, inputs[:64])
    if in_bfloat16:
        model = precision.in_bfloat16(model)
    model.optimizer.build(model.trainable_variables)
    if unfinished.exists():
        checkpoint.load(unfinished, model, settings)
    done = int(keras.ops.convert_to_numpy(model.optimizer.iterations))
    steps = math.ceil(len(inputs) / recipe.batch_size)
    order, last_save = None, time.monotonic()
    with progress(
        total=recipe.epochs * steps,
        initial=done,
        desc=path.stem,
        unit="step",
    ) as bar:
        for step in range(done, recipe.epochs * steps):
            epoch, place = divmod(step, steps)
            if place == 0 or order is None:
                order = np.random.default_rng([seed, epoch]).permutation(len(inputs))
            part = order[place * recipe.batch_size : (place + 1) * recipe.batch_size]
            batch = inputs[part]
            if recipe.augment:
                rng = np.random.default_rng([seed, epoch, place])
                batch = augmented(batch, rng, recipe.cutout)
            seed_dropout(model, seed, step)
            loss = model.train_on_batch(batch, targets[part])
            bar.set_postfix(loss=f"{float(loss):.4g}", refresh=False)
            bar.update()
            if time.monotonic() - last_save > SECONDS_BETWEEN_CHECKPOINTS:
                checkpoint.save(unfinished, model, settings)
                last_save = time.monotonic()
    if in_bfloat16:
        trained_weights, model = model.get_weights(), build()
        model.set_weights(trained_weights)
    return model


def seed_dropout(model: keras.Model, seed: int, step: int) -> None:
    """Puts the model's random generators where this step begins; files do not hold them."""
    for variable in model.non_trainable_variables:
        if variable.path.endswith("seed_generator_state"):
            variable.assign([seed, step])
