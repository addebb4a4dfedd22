"""Small evaluations and trainings to be killed, each in a process of its own.

`python -m tests.fuzz.work` reads from its standard input a line for each run, NAME and FOLDER,
and forks: so TensorFlow is imported once, and not for every run. It writes the number of the
process, then each stage as it begins ("craft", "figures", ...), then "ended", the status and the
seconds of processor time.
"""

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import numpy as np

import magnet_cli
from eval import evaluation, figures, oblivious, publication
from eval.presets import PRESETS, Preset
from magnet_tf import cards, classifiers, datasets, files, variants
from magnet_tf.datasets import Dataset, Split
from train import autoencoders, checkpoint, loop
from train import classifiers as trainings
from train.recipes import Recipe

RECIPE = Recipe(epochs=6, batch_size=8)
TINY = Preset(
    num_examples=6,
    confidences={"mnist": (0, 5), "digits": (0, 5), "cifar10": (0,)},
    betas=(0.05,),
    search={
        "learning_rate": 0.1,
        "max_iterations": 15,
        "binary_search_steps": 2,
        "initial_const": 3.0,
        "search": "exact",
    },
    training_steps=200,
)
FLAGS = ["--dataset=digits", "--preset=tiny", "--variants=D", "--models_dir=models"]


def small_classifier(shape: tuple, num_classes: int) -> keras.Model:
    """In the place of the published one."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Input(shape),
            layers.AveragePooling2D(4),
            layers.Flatten(),
            layers.Dropout(0.2),
            layers.Dense(num_classes),
        ]
    )


def few_digits() -> Dataset:
    """The digits, a few of each split."""
    whole = datasets.load("digits")
    parts = [part.at(slice(count)) for part, count in zip(
        (whole.train, whole.validation, whole.test), (160, 60, 60))]  # fmt: skip
    return Dataset("digits", *[Split(*part) for part in parts], num_classes=10)


def models() -> None:
    """The models of the evaluations below."""
    data, folder = few_digits(), Path("models")
    recipe = Recipe(epochs=20, batch_size=16, peak_rate=1e-2)
    trainings.train_classifier(data, recipe, folder / "classifier.keras", 0)
    for name, spec in variants.VARIANTS["digits"]["D"].autoencoders.items():
        path = folder / f"autoencoder_{name}.keras"
        autoencoders.train_autoencoder(data, spec, recipe, path, 0)


def evaluate(*more: str) -> Callable[[], None]:
    """A whole evaluation."""
    return lambda: magnet_cli.main(oblivious.COMMAND, [*FLAGS, *more])


def learn() -> None:
    """A training that writes a checkpoint after every step."""
    with mock.patch.object(loop, "SECONDS_BETWEEN_CHECKPOINTS", -1):
        trainings.train_classifier(few_digits(), RECIPE, Path("run/it.keras"), 3)


RUNS: dict[str, Callable[[], None]] = {
    "models": models,
    "evaluation": evaluate("--output_dir=run", "--search=exact"),
    "sweep": evaluate("--output_dir=run", "--search=primal_dual"),
    "training": learn,
}


def say(text: object) -> None:
    """To whoever started this."""
    os.write(PIPE, f"{text}\n".encode())


def announced(where: Any, what: str, stage: str) -> Any:
    """Says that a stage begins, whenever something is called."""
    original = getattr(where, what)

    def saying(*args: Any, **kwargs: Any) -> Any:
        say(stage)
        return original(*args, **kwargs)

    return mock.patch.object(where, what, saying)


def main() -> None:
    """Runs in children of this process what the standard input names."""
    mock.patch.dict(classifiers.PUBLISHED, digits=small_classifier).start()
    mock.patch.dict(PRESETS, tiny=TINY).start()
    mock.patch.object(evaluation, "CHUNK", 3).start()
    digits = few_digits()
    mock.patch.object(datasets, "load", lambda name: digits).start()
    for where, what, stage in (
        (evaluation.Evaluation, "craft", "craft"),
        (evaluation.Evaluation, "judge", "judge"),
        (publication, "keep_defences", "defences"),
        (publication, "write", "reports"),
        (figures, "write", "figures"),
        (checkpoint, "save", "checkpoint"),
        (cards, "save", "model"),
    ):
        announced(where, what, stage).start()
    np.zeros(1)
    _ = files, keras.utils  # imported before any fork
    say("ready")
    for line in sys.stdin:
        name, folder = line.split()
        if not (child := os.fork()):
            status = 1
            try:
                os.chdir(folder)
                log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
                os.dup2(log, 1), os.dup2(log, 2)
                RUNS[name]()
                status = 0
            except BaseException:  # noqa: BLE001 (this child ends here)
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(status)
        say(child)
        _, status, used = os.wait4(child, 0)
        say(f"ended {status} {used.ru_utime + used.ru_stime}")


if __name__ == "__main__":
    PIPE = os.dup(1)
    os.dup2(2, 1)  # whatever else is printed
    main()
