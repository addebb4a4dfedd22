"""Detectors of a user's own that hold models, in each way that Keras knows."""

import keras
import numpy as np
import pytest
from keras import layers

from magnet_tf import IdentityReformer, MagNet
from magnet_tf.keras_files import SavedModelError

SHAPE = (6, 6, 1)
IMAGES = np.random.default_rng(0).random((9, *SHAPE), dtype=np.float32)
serialize = keras.saving.serialize_keras_object
deserialize = keras.saving.deserialize_keras_object


class Doubt(layers.Layer):
    def __init__(self, classifier: keras.Model, **kwargs):
        super().__init__(**kwargs)
        self.classifier = classifier

    def mark(self, x):
        return -keras.ops.max(self.classifier(x, training=False), axis=-1)

    def get_config(self) -> dict:
        return {**super().get_config(), "classifier": serialize(self.classifier)}


@keras.saving.register_keras_serializable("tests")
class TakesModels(Doubt):
    """Its `from_config` is Keras's own, which hands on what it is given."""


@keras.saving.register_keras_serializable("tests")
class Deserializes(Doubt):
    """As Keras's own layers that hold layers do."""

    @classmethod
    def from_config(cls, config: dict):
        config["classifier"] = deserialize(config["classifier"])
        return cls(**config)


@keras.saving.register_keras_serializable("tests")
class OtherName(layers.Layer):
    """Holds its model under another name than its configuration says."""

    def __init__(self, classifier: keras.Model, **kwargs):
        super().__init__(**kwargs)
        self.model = classifier

    def mark(self, x):
        return -keras.ops.max(self.model(x, training=False), axis=-1)

    def get_config(self) -> dict:
        return {**super().get_config(), "classifier": serialize(self.model)}

    @classmethod
    def from_config(cls, config: dict):
        return cls(deserialize(config.pop("classifier")), **config)


@keras.saving.register_keras_serializable("tests")
class LeavesItOut(Doubt):
    get_config = layers.Layer.get_config


def classifier() -> keras.Model:
    return keras.Sequential(
        [layers.Input(SHAPE), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(3)]
    )


def defended(model: keras.Model, detectors: dict) -> MagNet:
    magnet = MagNet(model, IdentityReformer(), detectors)
    magnet.calibrate(IMAGES, dict.fromkeys(detectors, 0.4))
    return magnet


def loads_the_same(magnet: MagNet, path) -> MagNet:
    magnet.save(path)
    loaded = keras.saving.load_model(path)
    expected = magnet.judge(IMAGES)
    verdict = loaded.judge(IMAGES)
    np.testing.assert_array_equal(verdict.logits, expected.logits)
    for name, marks in expected.marks.items():
        np.testing.assert_array_equal(verdict.marks[name], marks)
    assert loaded.thresholds == magnet.thresholds
    return loaded


@pytest.mark.parametrize("detector", [TakesModels, Deserializes])
def test_shared_models_are_shared_again(detector, tmp_path):
    model, other = classifier(), classifier()
    parts = {"a": detector(model), "b": detector(other), "c": detector(other)}
    loaded = loads_the_same(defended(model, parts), tmp_path / "m.keras")
    assert loaded.detectors["a"].classifier is loaded.classifier
    assert loaded.detectors["b"].classifier is loaded.detectors["c"].classifier
    assert loaded.detectors["b"].classifier is not loaded.classifier


@pytest.mark.parametrize("detector", [TakesModels, Deserializes])
def test_models_that_share_layers(detector, tmp_path):
    model = classifier()
    features = keras.Model(model.inputs[0], model.layers[-2].output)
    within = keras.Sequential([layers.Input(SHAPE), layers.Rescaling(0.5), model])
    parts = {"features": detector(features), "within": detector(within)}
    loads_the_same(defended(model, parts), tmp_path / "m.keras")


def test_a_model_of_its_own_may_have_another_name(tmp_path):
    parts = {"own": OtherName(classifier())}
    loads_the_same(defended(classifier(), parts), tmp_path / "m.keras")


@pytest.mark.parametrize("detector", [OtherName, LeavesItOut])
def test_what_would_not_load_is_not_saved(detector, tmp_path):
    model = classifier()
    magnet = defended(model, {"doubt": detector(model)})
    with pytest.raises(SavedModelError, match="was not saved.*get_config") as raised:
        magnet.save(tmp_path / "m.keras")
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_a_class_that_is_not_registered_is_named_before_it_is_saved(tmp_path):
    class Local(Doubt):
        pass

    model = classifier()
    with pytest.raises(SavedModelError, match="'Local'.*register"):
        defended(model, {"doubt": Local(model)}).save(tmp_path / "m.keras")
    assert list(tmp_path.iterdir()) == []
