"""Trains the undefended classifier: `python -m train.classifier --dataset=mnist`."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
from absl import app, flags, logging

from magnet_tf import classifiers, datasets, files
from magnet_tf.arrays import predicted
from train import loop, recipes


def train_classifier(
    dataset: datasets.Dataset,
    recipe: recipes.Recipe,
    path: Path,
    seed: int,
    start: Path | None = None,
) -> keras.Model:
    """Trains the published architecture for a dataset's kind of images.

    `train` in the original's `train_models.py`: SGD at 0.01, divided by (1 + 1e-6 step),
    Nesterov momentum 0.9, cross-entropy on the logits; a short recipe has Adam instead.

    Args:
        dataset: its images and labels.
        recipe: epochs, batch size and augmentation.
        path: of the finished `.keras` file; resumed where an earlier call stopped.
        seed: of everything random.
        start: a finished classifier to go on from, such as an earlier training's.
    """
    architecture = classifiers.PUBLISHED[dataset.like]

    def build() -> keras.Model:
        model = architecture(dataset.image_shape, dataset.num_classes)
        if start:
            model.set_weights(keras.saving.load_model(start).get_weights())
        if recipe.peak_rate:
            optimizer = loop.annealed_adam(recipe, len(dataset.train.labels))
        else:
            rate = keras.optimizers.schedules.InverseTimeDecay(
                0.01, decay_steps=1, decay_rate=1e-6
            )
            optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)
        model.compile(
            optimizer,
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=loop.compiled_by_xla(),
        )
        return model

    def evaluate(model: keras.Model) -> dict:
        return {
            f"{split}_accuracy": accuracy(model, getattr(dataset, split))
            for split in ("validation", "test")
        }

    settings = {
        "dataset": dataset.name,
        "architecture": architecture.__name__,
        "start_sha256": files.sha256(start) if start else None,
    }
    return loop.train(build, *dataset.train, recipe, path, settings, evaluate, seed)


def accuracy(model: keras.Model, split: datasets.Split) -> float:
    """The share of images that a model classifies correctly."""
    logits = predicted(model, split.images)
    return float(np.mean(logits.argmax(axis=1) == split.labels))


def main(_) -> None:
    """The command: trains what the flags name."""
    args = flags.FLAGS
    logging.set_verbosity(logging.ERROR)
    try:
        dataset = datasets.load(args.dataset)
        recipe = recipes.for_classifier(args.recipe, dataset)
        recipe = dataclasses.replace(recipe, epochs=args.epochs or recipe.epochs)
        path = Path(args.output or f"models/{args.dataset}/classifier.keras")
        start = Path(args.start) if args.start else None
        model = train_classifier(dataset, recipe, path, args.seed, start)
    except (datasets.DatasetError, ValueError, OSError) as error:
        raise SystemExit(f"train.classifier: {error}") from error
    except KeyboardInterrupt:
        raise SystemExit(
            "train.classifier: interrupted; the same command goes on."
        ) from None
    print(
        f"{path} is finished: test accuracy {accuracy(model, dataset.test):.4f}; its card "
        f"is {path.with_suffix('.json')}."
    )


if __name__ == "__main__":
    flags.DEFINE_string("dataset", "digits", "'digits' or the name of a TFDS dataset.")
    flags.DEFINE_string(
        "output", None, "Model file [models/<dataset>/classifier.keras]."
    )
    flags.DEFINE_integer(
        "epochs", None, "Passes over the data [as the recipe].", lower_bound=1
    )
    flags.DEFINE_string("start", None, "A finished classifier to go on from.")
    loop.define_recipe_flag()
    flags.DEFINE_integer("seed", 0, "Of everything random.", lower_bound=0)
    app.run(main)
