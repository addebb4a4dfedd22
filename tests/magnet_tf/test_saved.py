"""A user's saved models: loaded safely, softmax taken off, or refused in one sentence."""

import keras
import numpy as np
import pytest
from keras import layers

from magnet_tf import IdentityReformer, MagNet, NotCalibratedError, saved

SHAPE = (12, 12, 3)
IMAGES = np.random.default_rng(0).random((5, *SHAPE), dtype=np.float32)


def body() -> list:
    return [layers.Input(SHAPE), layers.Conv2D(4, 3), layers.BatchNormalization()]


def ends_in_dense():
    head = [layers.Flatten(), layers.Dense(4, activation="softmax")]
    return keras.Sequential(body() + head)


def ends_in_activation():
    head = [layers.Flatten(), layers.Dense(4), layers.Activation("softmax")]
    return keras.Sequential(body() + head)


def ends_in_softmax_layer():
    head = [layers.Flatten(), layers.Dense(4), layers.Softmax()]
    return keras.Sequential(body() + head)


def functional_with_a_nested_model():
    inputs = layers.Input(SHAPE)
    return keras.Model(inputs, ends_in_activation()(inputs))


def application_with_its_preprocessing():
    backbone = keras.applications.MobileNetV2(
        (32, 32, 3), alpha=0.35, weights=None, include_top=False, pooling="avg"
    )
    return keras.Sequential(
        [
            layers.Input(SHAPE),
            layers.Resizing(32, 32),
            layers.Rescaling(2.0, offset=-1.0),
            backbone,
            layers.Dense(4, activation="softmax"),
        ]
    )


@pytest.mark.parametrize(
    "build",
    [
        ends_in_dense,
        ends_in_activation,
        ends_in_softmax_layer,
        functional_with_a_nested_model,
        application_with_its_preprocessing,
    ],
)
def test_softmax_is_taken_off(build, tmp_path):
    model = build()
    model.save(tmp_path / "m.keras")
    logits, unwrapped = saved.load_classifier(tmp_path / "m.keras")
    assert unwrapped
    logits = np.asarray(logits(IMAGES))
    assert abs(logits.sum(axis=1) - 1).max() > 1e-3
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities, model(IMAGES), atol=1e-6)


def test_logits_stay(tmp_path):
    model = keras.Sequential([*body(), layers.Flatten(), layers.Dense(4)])
    model.save(tmp_path / "m.keras")
    loaded, unwrapped = saved.load_classifier(tmp_path / "m.keras")
    assert not unwrapped
    np.testing.assert_array_equal(loaded(IMAGES), model(IMAGES))


def test_without_softmax_leaves_the_model_as_it_is():
    model = ends_in_dense()
    saved.without_softmax(model)
    np.testing.assert_allclose(np.sum(model(IMAGES), axis=1), 1, atol=1e-6)


def test_two_outputs_are_refused(tmp_path):
    inputs = layers.Input(SHAPE)
    flat = layers.Flatten()(inputs)
    model = keras.Model(inputs, [layers.Dense(2)(flat), layers.Dense(3)(flat)])
    model.save(tmp_path / "m.keras")
    with pytest.raises(saved.SavedModelError, match=r"has 2 outputs.*outputs\[0\]"):
        saved.load_classifier(tmp_path / "m.keras")


def test_a_lambda_layer_is_refused_and_not_run(tmp_path):
    model = keras.Sequential(
        [layers.Input(SHAPE), layers.Lambda(lambda x: x), layers.Flatten()]
    )
    model.save(tmp_path / "m.keras")
    with pytest.raises(saved.SavedModelError, match="Lambda.*built-in layer"):
        saved.load_classifier(tmp_path / "m.keras")


def test_an_unknown_class_is_named(tmp_path):
    class Nameless(layers.Layer):
        pass

    keras.Sequential([layers.Input(SHAPE), Nameless()]).save(tmp_path / "m.keras")
    with pytest.raises(saved.SavedModelError, match="'Nameless'.*register"):
        saved.load_classifier(tmp_path / "m.keras")


def test_what_is_no_model_is_named(tmp_path):
    (tmp_path / "m.keras").write_text("nothing")
    with pytest.raises(saved.SavedModelError, match=r"m\.keras is not a \.keras file"):
        saved.load_model(tmp_path / "m.keras")
    with pytest.raises(saved.SavedModelError, match="does not exist"):
        saved.load_model(tmp_path / "n.keras")


def test_a_defence_must_be_one_and_be_calibrated(tmp_path):
    model = keras.Sequential([*body(), layers.Flatten(), layers.Dense(4)])
    model.save(tmp_path / "m.keras")
    with pytest.raises(saved.SavedModelError, match="not a MagNet"):
        saved.load_defence(tmp_path / "m.keras")

    magnet = MagNet(model, IdentityReformer(), {"mean": Mean()})
    magnet(IMAGES)
    magnet.save(tmp_path / "d.keras")
    with pytest.raises(NotCalibratedError):
        saved.load_defence(tmp_path / "d.keras")
    with pytest.raises(saved.SavedModelError, match="not a classifier"):
        saved.load_classifier(tmp_path / "d.keras")

    magnet.calibrate(IMAGES, {"mean": 0.4})
    magnet.save(tmp_path / "d.keras")
    assert saved.load_defence(tmp_path / "d.keras").thresholds == magnet.thresholds


@keras.saving.register_keras_serializable("tests")
class Mean(layers.Layer):
    """A detector of a user's own."""

    def mark(self, x):
        return keras.ops.mean(x, axis=(1, 2, 3))
