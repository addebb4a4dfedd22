"""Saving parts that share models: each model is written once and shared again on loading.

A MagNet's reformer and detectors hold the same autoencoders and the same classifier. Keras
loses that identity for models nested in other objects' configurations, and would then load
copies without their weights.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras

REFERENCE = "shared_model"


def serialize(parts: Sequence) -> dict:
    """A configuration of Keras objects in which each model they hold stands once.

    A model is found where an object's attribute has the name of the `__init__` argument, and
    so of the configuration's key: Keras's convention for layers.
    """
    models: list[keras.Model] = []

    def reference(model: keras.Model) -> dict:
        if not any(model is known for known in models):
            models.append(model)
        return {REFERENCE: next(i for i, known in enumerate(models) if model is known)}

    def part_config(part: Any) -> dict:
        if isinstance(part, keras.Model):
            return reference(part)
        config = keras.saving.serialize_keras_object(part)
        for name, value in vars(part).items():
            if isinstance(value, keras.Model) and name in config["config"]:
                config["config"][name] = reference(value)
        return config

    configs = [part_config(part) for part in parts]
    return {
        "models": [keras.saving.serialize_keras_object(m) for m in models],
        "parts": configs,
    }


def deserialize(config: dict) -> list:
    """The objects of a configuration by `serialize`, sharing models as they did.

    A part's `from_config` may take the models as they are, or deserialize them as those of
    Keras's own layers do.
    """
    models = [
        keras.saving.deserialize_keras_object(model) for model in config["models"]
    ]

    def resolved(value: Any, give: Callable[[int], object]) -> Any:
        is_reference = isinstance(value, dict) and REFERENCE in value
        return give(value[REFERENCE]) if is_reference else value

    def part_with(part: dict, give: Callable[[int], object]) -> Any:
        arguments = {
            key: resolved(value, give) for key, value in part["config"].items()
        }
        return keras.saving.deserialize_keras_object({**part, "config": arguments})

    class Shared:
        """What stands for a model where a part's `from_config` deserializes it itself."""

        @staticmethod
        def from_config(config: dict) -> keras.Model:
            return models[config["index"]]

    def serialized(index: int) -> dict:
        return {"module": None, "class_name": REFERENCE, "config": {"index": index}}

    def make(part: dict) -> Any:
        if REFERENCE in part:
            return resolved(part, models.__getitem__)
        try:
            return part_with(part, models.__getitem__)
        except TypeError as error:
            if "Could not parse config" not in str(error):
                raise
            with keras.saving.custom_object_scope({REFERENCE: Shared}):
                return part_with(part, serialized)

    return [make(part) for part in config["parts"]]
