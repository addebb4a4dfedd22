"""The training of undefended classifiers."""

from pathlib import Path

import keras
import numpy as np

from magnet_tf import cards, classifiers, datasets, files, keras_files
from magnet_tf.arrays import predicted
from train import loop, optimizers, precision, recipes
from train.errors import TrainingError


def train_classifier(
    dataset: datasets.Dataset,
    recipe: recipes.Recipe,
    path: Path,
    seed: int,
    start: Path | None = None,
) -> cards.Trained:
    """Trains the published architecture for a dataset's kind of images.

    `train` in the original's `train_models.py`: SGD at 0.01, divided by (1 + 1e-6 step),
    Nesterov momentum 0.9, cross-entropy on the logits; a short recipe has Adam instead.

    Args:
        dataset: its images and labels.
        recipe: epochs, batch size and augmentation.
        path: of the finished `.keras` file; resumed where an earlier call stopped.
        seed: of everything random.
        start: a finished classifier to go on from, such as an earlier training's.

    Raises:
        SavedModelError: `start` cannot be loaded.
        TrainingError: it is of another architecture, or for other images or classes.
        CardError, LockedError, WriteError: as `loop.train`.
    """
    architecture = classifiers.PUBLISHED[dataset.like]

    def build() -> keras.Model:
        model = architecture(dataset.image_shape, dataset.num_classes)
        if start:
            start_from(start, model)
        model.compile(
            optimizers.for_classifier(recipe, len(dataset.training.labels)),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=precision.compiled_by_xla(),
        )
        return model

    def evaluate(model: keras.Model) -> dict:
        return {
            f"{split}_accuracy": accuracy(model, getattr(dataset, split))
            for split in ("validation", "test")
        }

    settings = {
        "dataset": dataset.identity,
        "architecture": architecture.__name__,
        "start_sha256": files.sha256(start) if start else None,
    }
    return loop.train(build, *dataset.training, recipe, path, settings, evaluate, seed)


def start_from(path: Path, model: keras.Model) -> None:
    """Gives a model the weights of a saved one."""
    weights = keras_files.load_model(path).get_weights()
    if [array.shape for array in weights] != [
        array.shape for array in model.get_weights()
    ]:
        raise TrainingError(
            f"{path} is not a {model.name} for images of shape {model.input_shape[1:]} and "
            f"{model.output_shape[-1]} classes; start from one that is, or from none."
        )
    model.set_weights(weights)


def accuracy(model: keras.Model, split: datasets.Split) -> float:
    """The share of images that a model classifies correctly."""
    logits = predicted(model, split.images)
    return float(np.mean(logits.argmax(axis=1) == split.labels))
