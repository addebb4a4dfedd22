"""The classifiers that attacks are ranked on: two of the zoo, and two that are trained for it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
from keras import layers

from magnet_tf import cards, classifiers, datasets, zoo
from magnet_tf.arrays import predicted
from train import loop, optimizers, precision, recipes
from train.classifiers import accuracy

NOISE = 0.3  # of the noisy training images, its standard deviation


class Model(NamedTuple):
    """A classifier that attacks are ranked on.

    Attributes:
        title: in the figure.
        dataset: by name.
        architecture: of one that is trained; None for the zoo's.
        noise: added to its training images, a standard deviation.
        share: of the images that are attacked; the rest costs too much.
    """

    title: str
    dataset: str
    architecture: Callable[..., keras.Model] | None = None
    noise: float = 0.0
    share: float = 0.5


def wide_classifier(
    input_shape: tuple[int, int, int] = (28, 28, 1), num_classes: int = 10
) -> keras.Model:
    """Madry et al.'s network for MNIST (ICLR 2018, arXiv 1706.06083), with 1,024 hidden units.

    Args:
        input_shape: (H, W, C), H and W multiples of 4.
        num_classes: K.
    """
    return keras.Sequential(
        [
            layers.Input(input_shape),
            layers.Conv2D(32, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(1024, activation="relu"),
            layers.Dense(num_classes),
        ],
        name="wide_classifier",
    )


MODELS: Mapping[str, Model] = {
    "mnist": Model("MNIST", "mnist", share=1.0),
    "noisy": Model(
        "MNIST, trained on noise", "mnist", classifiers.mnist_classifier, NOISE
    ),
    "wide": Model("MNIST, wider network", "mnist", wide_classifier),
    "cifar10": Model("CIFAR-10", "cifar10", share=0.25),
}


def classifier(name: str, directory: Path) -> keras.Model:
    """The classifier of that name.

    Args:
        name: in `MODELS`.
        directory: where it is, or is trained and kept with its card, if it is not the zoo's.

    Raises:
        DatasetError, ZooError, CardError, LockedError, WriteError: it cannot be had.
    """
    model = MODELS[name]
    if model.architecture is None:
        return zoo.load(model.dataset, "D").classifier
    data = datasets.load(model.dataset)
    recipe = recipes.for_classifier("short", data)
    return trained(model, data, recipe, directory / f"{name}.keras").model


def trained(
    model: Model, data: datasets.Dataset, recipe: recipes.Recipe, path: Path
) -> cards.Trained:
    """Trains a classifier by a recipe, on images with noise that is drawn once.

    Args:
        model: what is trained.
        data: its images and labels.
        recipe: epochs and batch size.
        path: of the finished `.keras` file; resumed where an earlier call stopped.

    Raises:
        CardError, LockedError, WriteError: as `loop.train`.
    """
    images, labels = data.training
    drawn = np.random.default_rng(0).standard_normal(images.shape, np.float32)
    noisy = np.clip(images + model.noise * drawn, 0, 1)

    def build() -> keras.Model:
        assert model.architecture
        built = model.architecture(data.image_shape, data.num_classes)
        built.compile(
            optimizers.for_classifier(recipe, len(labels)),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=precision.compiled_by_xla(),
        )
        return built

    def evaluate(finished: keras.Model) -> dict:
        return {"test_accuracy": accuracy(finished, data.test)}

    settings = {
        "dataset": data.identity,
        "architecture": build().name,
        "noise": model.noise,
    }
    return loop.train(build, noisy, labels, recipe, path, settings, evaluate, seed=0)


def attacked(
    classifier: keras.Model, dataset: str, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """So many test images that a classifier gets right, chosen at random, and their labels."""
    test = datasets.load(dataset).test
    right = predicted(classifier, test.images).argmax(axis=1) == test.labels
    chosen = np.random.default_rng(0).permutation(np.flatnonzero(right))[:count]
    return test.images[chosen], test.labels[chosen].astype(np.int64)
