"""The optimizers of the recipes: as published, or Adam with a rate of the recipe's that falls."""

import math

import keras

from train.recipes import Recipe


def for_classifier(recipe: Recipe, count: int) -> keras.optimizers.Optimizer:
    """As published: SGD at 0.01 / (1 + 1e-6 step) with Nesterov momentum 0.9.

    Args:
        recipe: what is trained. count: of training images.
    """
    if recipe.peak_rate:
        return annealed_adam(recipe, count)
    rate = keras.optimizers.schedules.InverseTimeDecay(
        0.01, decay_steps=1, decay_rate=1e-6
    )
    return keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)


def for_autoencoder(recipe: Recipe, count: int) -> keras.optimizers.Optimizer:
    """As published: Adam's defaults; otherwise as `for_classifier`."""
    return annealed_adam(recipe, count) if recipe.peak_rate else keras.optimizers.Adam()


def annealed_adam(recipe: Recipe, count: int) -> keras.optimizers.Optimizer:
    """Adam with a rate that falls from the recipe's to zero over its steps on `count` images."""
    steps = recipe.epochs * math.ceil(count / recipe.batch_size)
    optimizer = keras.optimizers.Adam(
        keras.optimizers.schedules.CosineDecay(recipe.peak_rate, steps),
        weight_decay=recipe.weight_decay,
    )
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer
