"""A user's saved models: loaded safely, softmax taken off, or refused in one sentence."""

import json
import zipfile

import keras
import numpy as np
import pytest
from keras import layers

from magnet_tf import IdentityReformer, MagNet, NotCalibratedError, saved
from magnet_tf.arrays import predicted

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


def ends_in_a_function():
    inputs = layers.Input(SHAPE)
    logits = layers.Dense(4)(layers.Flatten()(inputs))
    return keras.Model(inputs, keras.ops.softmax(logits))


def branched():
    """As `keras.applications` builds its models, with their top."""
    inputs = layers.Input((16, 16, 3))
    x = layers.Rescaling(2.0)(inputs)
    x = layers.Add()([layers.Conv2D(2, 3)(x), layers.Conv2D(2, 3)(x)])
    x = layers.GlobalAveragePooling2D()(layers.BatchNormalization()(x))
    return keras.Model(inputs, layers.Dense(4, activation="softmax")(x))


def functional_model_in_a_sequential_one():
    return keras.Sequential([layers.Input(SHAPE), layers.Resizing(16, 16), branched()])


def functional_model_in_a_functional_one():
    inputs = layers.Input(SHAPE)
    resized = layers.Resizing(16, 16)(inputs)
    return keras.Model(inputs, branched()(resized, training=False))


def a_model_in_a_model_in_a_model():
    inputs = layers.Input(SHAPE)
    return keras.Model(inputs, functional_model_in_a_sequential_one()(inputs))


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
        ends_in_a_function,
        functional_with_a_nested_model,
        functional_model_in_a_sequential_one,
        functional_model_in_a_functional_one,
        a_model_in_a_model_in_a_model,
        application_with_its_preprocessing,
    ],
)
def test_softmax_is_taken_off(build, tmp_path):
    model = build()
    model.save(tmp_path / "m.keras")
    logits, unwrapped = saved.load_classifier(tmp_path / "m.keras")
    assert unwrapped
    logits = predicted(logits, IMAGES)
    assert abs(logits.sum(axis=1) - 1).max() > 1e-3
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities, predicted(model, IMAGES), atol=1e-6)


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


def test_the_softmax_of_an_efficient_net_is_taken_off():
    net = keras.applications.EfficientNetB0(
        weights=None, classes=4, input_shape=(32, 32, 3)
    )
    images = np.random.default_rng(1).random((2, 32, 32, 3), dtype=np.float32)
    inputs = layers.Input((32, 32, 3))
    model = keras.Model(inputs, net(inputs))
    logits = keras.ops.softmax(predicted(saved.without_softmax(model), images))
    np.testing.assert_allclose(logits, predicted(model, images), atol=1e-6)


@keras.saving.register_keras_serializable("tests")
class Subclassed(keras.Model):
    """Ends in a softmax that cannot be seen from outside."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(4, activation="softmax")

    def call(self, x):
        return self.dense(keras.ops.reshape(x, (-1, 12 * 12 * 3)))


@pytest.mark.parametrize("policy", ["float32", "float16", "bfloat16"])
def test_the_softmax_of_a_subclassed_model_is_refused(policy, tmp_path):
    model = Subclassed(dtype=policy)
    predicted(model, IMAGES)
    model.save(tmp_path / "m.keras")
    model, unwrapped = saved.load_classifier(tmp_path / "m.keras")
    assert not unwrapped
    with pytest.raises(
        ValueError, match="probabilities.* of your own return what comes"
    ):
        MagNet(model, IdentityReformer(), {}).calibrate(IMAGES, {})


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


def test_keras_reason_is_given_whole(tmp_path):
    """Without the configurations in it, and without the advice to turn safe mode off."""
    path = tmp_path / "m.keras"
    keras.Sequential(
        [layers.Input(SHAPE), layers.Flatten(), layers.Activation("relu")]
    ).save(path)

    def refusal(edit) -> str:
        with zipfile.ZipFile(path) as file:
            members = {name: file.read(name) for name in file.namelist()}
        config = json.loads(members["config.json"])
        edit(config["config"]["layers"])
        members["config.json"] = json.dumps(config)
        with zipfile.ZipFile(tmp_path / "n.keras", "w") as file:
            for name, content in members.items():
                file.writestr(name, content)
        with pytest.raises(saved.SavedModelError) as raised:
            saved.load_model(tmp_path / "n.keras")
        message = str(raised.value)
        assert message.startswith(f"{tmp_path / 'n.keras'} ") and "\n" not in message
        assert "safe_mode" not in message and "unsafe" not in message
        return message

    message = refusal(lambda parts: parts[1]["config"].update(never="known"))
    assert "could not be deserialized properly" in message
    assert (
        "Unrecognized keyword arguments passed to Flatten: {'never': 'known'}"
        in message
    )
    assert "config={" not in message

    function = {"class_name": "__lambda__", "config": {"value": ["", None, None]}}
    message = refusal(lambda parts: parts[2]["config"].update(activation=function))
    assert "another lambda" in message


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
