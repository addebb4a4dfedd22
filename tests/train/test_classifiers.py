"""What the classifier's training asks of the training loop."""

import inspect

import keras
import numpy as np
import pytest

from magnet_tf import files
from magnet_tf.datasets import Dataset, Split
from magnet_tf.keras_files import SavedModelError
from train import classifiers, loop
from train.errors import TrainingError
from train.recipes import Recipe

RECIPE = Recipe(epochs=1, batch_size=8)


def dataset(channels: int, classes: int = 4) -> Dataset:
    """Even images whose brightness is their label."""
    splits = []
    for count in (12, 8, 4):
        labels = np.arange(count, dtype=np.int64) % classes
        images = np.ones((count, 32, 32, channels)) * labels[:, None, None, None]
        splits.append(Split(images.astype(np.float32) / classes, labels))
    return Dataset("made up", *splits, num_classes=classes)


@pytest.fixture
def asked(monkeypatch):
    """What the training loop is called with, by the names of its arguments."""
    arguments, signature = {}, inspect.signature(loop.train)

    def train(*args, **kwargs):
        arguments.update(signature.bind(*args, **kwargs).arguments)

    monkeypatch.setattr(loop, "train", train)
    return arguments


@pytest.mark.parametrize(
    ("channels", "name"), [(1, "mnist_classifier"), (3, "cifar10_classifier")]
)
def test_the_architecture_follows_the_images(channels, name, asked, tmp_path):
    data = dataset(channels)
    classifiers.train_classifier(data, RECIPE, tmp_path / "it.keras", 7)
    model = asked["build"]()
    assert model.name == name and model.output_shape == (None, 4)
    settings = {"dataset": "made up", "architecture": name}
    assert asked["settings"] == {**settings, "start_sha256": None}
    assert asked["recipe"] == RECIPE and asked["seed"] == 7
    assert asked["path"] == tmp_path / "it.keras"
    assert asked["inputs"] is data.train.images
    assert asked["targets"] is data.train.labels


def test_the_optimizer_is_the_originals(asked, tmp_path):
    """SGD at 0.01 / (1 + 1e-6 step) with Nesterov momentum 0.9, on logits."""
    classifiers.train_classifier(dataset(1), RECIPE, tmp_path / "it.keras", 0)
    model = asked["build"]()
    optimizer = model.optimizer
    assert isinstance(optimizer, keras.optimizers.SGD)
    assert optimizer.momentum == 0.9 and optimizer.nesterov
    for step in (0, 1, 1000, 250_000):
        optimizer.iterations.assign(step)
        rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
        assert rate == pytest.approx(0.01 / (1 + 1e-6 * step), rel=1e-6)
    logits = np.float32([[2, 0, 1, -1]])
    loss = float(keras.ops.convert_to_numpy(model.loss(np.int64([0]), logits)))
    assert loss == pytest.approx(np.log(np.exp(logits).sum()) - 2, rel=1e-5)


def test_the_card_gets_both_accuracies(asked, tmp_path):
    classifiers.train_classifier(dataset(1), RECIPE, tmp_path / "it.keras", 0)
    evaluate = asked["evaluate"]
    # logits that are right of labels 0 and 1, and give 1 for 2 and 3
    darker = keras.Sequential(
        [
            keras.layers.Input((32, 32, 1)),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(4),
        ]
    )
    darker.set_weights([np.float32([[0, 8, 0, 0]]), np.float32([1, 0, 0, 0])])
    assert evaluate(darker) == {"validation_accuracy": 0.5, "test_accuracy": 0.5}


def test_it_goes_on_from_a_saved_one(asked, tmp_path):
    classifiers.train_classifier(dataset(1), RECIPE, tmp_path / "it.keras", 0)
    first = asked["build"]()
    first.save(tmp_path / "first.keras")
    start = tmp_path / "first.keras"
    classifiers.train_classifier(dataset(1), RECIPE, tmp_path / "it.keras", 0, start)
    for one, other in zip(asked["build"]().get_weights(), first.get_weights()):
        np.testing.assert_array_equal(one, other)
    assert asked["settings"]["start_sha256"] == files.sha256(start)

    other = dataset(1, classes=3)
    classifiers.train_classifier(other, RECIPE, tmp_path / "it.keras", 0, start)
    with pytest.raises(TrainingError, match=r"first\.keras is not a mnist_classifier"):
        asked["build"]()

    start.write_bytes(start.read_bytes()[:-100])
    classifiers.train_classifier(dataset(1), RECIPE, tmp_path / "it.keras", 0, start)
    with pytest.raises(SavedModelError, match=r"first\.keras is not a \.keras file"):
        asked["build"]()


def test_accuracy_of_more_than_a_batch():
    model = keras.Sequential(
        [keras.layers.Input((1, 1, 3)), keras.layers.Flatten()], name="one_hot"
    )
    labels = np.arange(700) % 3
    images = np.eye(3, dtype=np.float32)[labels][:, None, None]
    labels[:70] += 1
    assert classifiers.accuracy(model, Split(images, labels)) == pytest.approx(0.9)
