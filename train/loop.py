"""The training loop: goes on after an interruption, to the same weights bit by bit.

Everything random follows from the seed and the step, and a checkpoint holds the weights
and the optimizer, so that an interrupted training ends where an uninterrupted one does.
"""

import contextlib
import fcntl
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
from absl import flags
from tqdm.auto import tqdm

from magnet_tf.files import set_aside, sha256, write, write_text
from magnet_tf.provenance import command
from train.recipes import KINDS, Recipe
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
) -> keras.Model:
    """Trains a model and saves it with a card, or goes on where it stopped.

    Args:
        build: makes the compiled model.
        inputs, targets: what it learns from, first axis N.
        recipe: epochs, batch size and augmentation.
        path: of the finished model, a `.keras` file; the card lies beside it as `.json`.
        settings: what else determines the result (data, architecture, loss); goes to the card.
        evaluate: what the card says of the trained model's quality.
        seed: of the initial weights, the order of the images, dropout and augmentation.

    Returns:
        The trained model; the one that is there, where it was trained just so.

    Raises:
        ValueError: a model that was trained otherwise is there, or is being trained.
    """
    settings = {**settings, **vars(recipe), "seed": seed, "images": len(inputs)}
    settings = json.loads(json.dumps(settings))  # as a card has them
    if finished := trained(path, **settings):
        return finished
    key = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()
    checkpoint = path.with_name(f"{path.stem}.{key[:12]}.weights.h5")
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path):
        model = fit(build, inputs, targets, recipe, checkpoint, path.stem, seed)
        write(path, model.save)
        card = {
            **settings,
            **evaluate(model),
            "sha256": sha256(path),
            "command": " ".join(["python", "-m", *command()]),
            "date": time.strftime("%Y-%m-%d"),
        }
        write_text(path.with_suffix(".json"), json.dumps(card, indent=1))
        checkpoint.unlink(missing_ok=True)
    return model


def fit(
    build: Callable[[], keras.Model],
    inputs: np.ndarray,
    targets: np.ndarray,
    recipe: Recipe,
    checkpoint: Path,
    title: str,
    seed: int,
) -> keras.Model:
    """The model after all steps of its recipe, from a checkpoint on where there is one.

    Args:
        checkpoint: file for weights and optimizer. title: of the progress bar.
        build, inputs, targets, recipe, seed: as in `train`.
    """
    keras.utils.set_random_seed(seed)
    model = build()
    if recipe.normalised:
        normalise(model, inputs[:64])
    if recipe.bfloat16:
        model = in_bfloat16(model)
    model.optimizer.build(model.trainable_variables)
    if checkpoint.exists():
        resume(model, checkpoint)
    done = int(keras.ops.convert_to_numpy(model.optimizer.iterations))
    steps = math.ceil(len(inputs) / recipe.batch_size)
    order, last_save = None, time.monotonic()
    with tqdm(
        total=recipe.epochs * steps, initial=done, desc=title, unit="step"
    ) as bar:
        for step in range(done, recipe.epochs * steps):
            epoch, place = divmod(step, steps)
            if place == 0 or order is None:
                order = np.random.default_rng([seed, epoch]).permutation(len(inputs))
            part = order[place * recipe.batch_size : (place + 1) * recipe.batch_size]
            batch = inputs[part]
            if recipe.augment:
                batch = augmented(batch, np.random.default_rng([seed, epoch, place]))
            seed_dropout(model, seed, step)
            loss = model.train_on_batch(batch, targets[part])
            bar.set_postfix(loss=f"{float(loss):.4g}", refresh=False)
            bar.update()
            if time.monotonic() - last_save > SECONDS_BETWEEN_CHECKPOINTS:
                write(checkpoint, model.save_weights)
                last_save = time.monotonic()
    if recipe.bfloat16:
        trained_weights, model = model.get_weights(), build()
        model.set_weights(trained_weights)
    return model


def trained(path: Path, **asked: object) -> keras.Model | None:
    """The model that `train` finished at a path, None where there is none.

    A file that is not the one the card was written for is named and set aside.

    Args:
        path: of the model; the card lies beside it.
        asked: what the card must say.

    Raises:
        ValueError: the card says something else.
    """
    card_path = path.with_suffix(".json")
    if not path.exists() or not card_path.exists():
        return None
    try:
        card = json.loads(card_path.read_text())
        intact = card["sha256"] == sha256(path)
        model = keras.saving.load_model(path, compile=False) if intact else None
    except (ValueError, KeyError, TypeError):
        model = None  # the card or the model is damaged
    if model is None:
        set_aside(path, "is not the file its card was written for, and is made again")
        return None
    for key, value in asked.items():
        if card.get(key) != value:
            raise ValueError(
                f"{path} was trained with {key} {card.get(key)!r}, not {value!r}; choose "
                "another place, or delete it to train it again."
            )
    return model


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keeps other processes from training the same model; raises ValueError where one does."""
    lock_path = path.with_name(f".{path.stem}.lock")
    with lock_path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ValueError(
                f"{path} is being trained by another process; wait for it, or choose "
                "another place."
            ) from error
        yield
        lock_path.unlink(missing_ok=True)


def resume(model: keras.Model, checkpoint: Path) -> None:
    """Loads a checkpoint into a compiled model, or sets a damaged one aside."""
    fresh = [
        keras.ops.convert_to_numpy(v)
        for v in model.variables + model.optimizer.variables
    ]
    try:
        model.load_weights(checkpoint)
    except (AttributeError, KeyError, OSError, RuntimeError, TypeError, ValueError):
        for variable, value in zip(model.variables + model.optimizer.variables, fresh):
            variable.assign(value)
        set_aside(checkpoint, "is damaged; training starts again")


def seed_dropout(model: keras.Model, seed: int, step: int) -> None:
    """Puts the model's random generators where this step begins; files do not hold them."""
    for variable in model.non_trainable_variables:
        if variable.path.endswith("seed_generator_state"):
            variable.assign([seed, step])


def augmented(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Images [N, H, W, C] shifted by up to a tenth, edges repeated, and flipped at random.

    `ImageDataGenerator` with its 'nearest' filling in the original's `train_models.py`, here
    by whole pixels.
    """
    count, height, width, _ = images.shape
    down, right = height // 10, width // 10
    rows = np.arange(height) + rng.integers(-down, down + 1, (count, 1))
    columns = np.arange(width) + rng.integers(-right, right + 1, (count, 1))
    columns = np.where(rng.random((count, 1)) < 0.5, columns[:, ::-1], columns)
    return images[
        np.arange(count)[:, None, None],
        rows.clip(0, height - 1)[:, :, None],
        columns.clip(0, width - 1)[:, None, :],
    ]


def annealed_adam(recipe: Recipe, count: int) -> keras.optimizers.Optimizer:
    """Adam with a rate that falls from the recipe's to zero over its steps on `count` images."""
    steps = recipe.epochs * math.ceil(count / recipe.batch_size)
    return keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(recipe.peak_rate, steps)
    )


class _InFloat32(keras.regularizers.Regularizer):
    """A regularizer whose sum is not rounded to the precision of what it is of."""

    def __init__(self, regularizer: keras.regularizers.Regularizer):
        self.regularizer = regularizer

    def __call__(self, x):
        return self.regularizer(keras.ops.cast(x, "float32"))


def in_bfloat16(model: keras.Model) -> keras.Model:
    """A copy that computes in bfloat16, except for its last layer; variables stay in float32.

    Args:
        model: compiled, of Keras's own layers.
    """
    last = model.layers[-1].name

    def clone(layer):
        config = layer.get_config()
        config["dtype"] = "float32" if layer.name == last else "mixed_bfloat16"
        copy = type(layer).from_config(config)
        if regularizer := getattr(copy, "activity_regularizer", None):
            copy.activity_regularizer = _InFloat32(regularizer)
        return copy

    copy = keras.models.clone_model(model, clone_function=clone)
    copy.set_weights(model.get_weights())
    copy.compile_from_config(model.get_compile_config())
    return copy


def define_recipe_flag() -> None:
    """The flag `--recipe`, which the training commands share."""
    flags.DEFINE_enum(
        "recipe",
        "published",
        KINDS,
        "As published, or what a machine without a GPU can run (see recipes.py).",
    )


def compiled_by_xla() -> bool | str:
    """Keras's `jit_compile`: on a CPU, TensorFlow's own kernels are the faster ones."""
    if keras.backend.backend() != "tensorflow" or keras.distribution.list_devices(
        "gpu"
    ):
        return "auto"
    return False
