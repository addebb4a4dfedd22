"""What is interrupted or damaged ends with the weights of an undisturbed training."""

import hashlib
import re
import sys

import keras
import numpy as np
import pytest
from keras import layers

import magnet_cli
from magnet_tf import cards, files
from train import loop, precision
from train.errors import TrainingError
from train.recipes import Recipe

RECIPE = Recipe(epochs=4, batch_size=8, augment=True)
STEPS = 3  # an epoch: 8 + 8 + 4 of 20 images
RANDOM = np.random.RandomState(0)
IMAGES = RANDOM.uniform(size=(20, 6, 6, 1)).astype(np.float32)
LABELS = RANDOM.randint(0, 3, 20)


def build() -> keras.Model:
    """A model with dropout, whose masks an interruption must not change."""
    model = keras.Sequential(
        [
            layers.Input((6, 6, 1)),
            layers.Flatten(),
            layers.Dense(8, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(3),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, run_eagerly=True)  # no tracing
    return model


def train(path, recipe=RECIPE, seed=0, build=build, evaluate=lambda model: {}):
    """The weights after a training."""
    data = IMAGES, LABELS, recipe, path, {"dataset": "made up"}
    return loop.train(build, *data, evaluate, seed).model.get_weights()


def assert_same(weights, expected):
    for one, other in zip(weights, expected, strict=True):
        np.testing.assert_array_equal(one, other)


class Steps:
    """Counts training steps, keeps their batches, and may stop before one."""

    def __init__(self, monkeypatch):
        self.batches, self.stop_before = [], None
        original = keras.Model.train_on_batch

        def train_on_batch(model, x, y):
            if len(self.batches) == self.stop_before:
                raise KeyboardInterrupt
            self.batches.append((x, y))
            return original(model, x, y)

        monkeypatch.setattr(keras.Model, "train_on_batch", train_on_batch)

    def interrupt(self, path, after: int, **training) -> None:
        """Trains until so many steps are done."""
        self.stop_before = after
        with pytest.raises(KeyboardInterrupt):
            train(path, **training)
        self.batches, self.stop_before = [], None


@pytest.fixture
def steps(monkeypatch):
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", -1)
    return Steps(monkeypatch)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The weights after an undisturbed training without checkpoints."""
    return train(tmp_path_factory.mktemp("undisturbed") / "model.keras")


def checkpoint_in(folder):
    (checkpoint,) = folder.glob("model.*.checkpoint")
    return checkpoint


# Interruptions


def test_the_same_seed_gives_the_same_weights(undisturbed, tmp_path):
    assert_same(train(tmp_path / "model.keras"), undisturbed)


def test_another_seed_gives_other_weights(undisturbed, tmp_path):
    assert not np.allclose(train(tmp_path / "model.keras", seed=1)[0], undisturbed[0])


@pytest.mark.parametrize("after", [1, 3, 8])
def test_an_interrupted_training_ends_with_the_same_weights(
    after, steps, undisturbed, tmp_path
):
    steps.interrupt(tmp_path / "model.keras", after)
    assert not (tmp_path / "model.keras").exists()
    weights = train(tmp_path / "model.keras")
    assert_same(weights, undisturbed)
    assert len(steps.batches) == 4 * STEPS - after


def test_an_interrupted_training_that_is_compiled(steps, tmp_path):
    """As the commands train, and with SGD's schedule of the learning rate."""

    def build_compiled():
        model = build()
        rate = keras.optimizers.schedules.InverseTimeDecay(0.1, 1, 0.1)
        optimizer = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True)
        model.compile(optimizer, model.loss, jit_compile=False)
        return model

    steps.interrupt(tmp_path / "model.keras", 8, build=build_compiled)
    weights = train(tmp_path / "model.keras", build=build_compiled)
    assert len(steps.batches) == 4 * STEPS - 8
    assert_same(weights, train(tmp_path / "undisturbed.keras", build=build_compiled))


def test_interrupted_again_and_again(steps, undisturbed, tmp_path):
    for after in (4, 4, 2, 1):
        steps.interrupt(tmp_path / "model.keras", after)
    assert_same(train(tmp_path / "model.keras"), undisturbed)


@pytest.mark.parametrize("when", ["evaluate", "save"])
def test_interrupted_before_the_model_was_written(
    when, steps, undisturbed, tmp_path, monkeypatch
):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        if when == "save":
            patch.setattr(keras.Model, "save", interrupted)
        train(
            tmp_path / "model.keras",
            evaluate=interrupted if when == "evaluate" else lambda model: {},
        )
    steps.batches.clear()
    assert not (tmp_path / "model.keras").exists()
    assert_same(train(tmp_path / "model.keras"), undisturbed)
    assert not steps.batches  # the last checkpoint had everything


def test_interrupted_between_card_and_model(steps, undisturbed, tmp_path, monkeypatch):
    """The card alone is no model, and is replaced."""
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        write = cards.write

        def then_interrupted(*card):
            write(*card)
            raise KeyboardInterrupt

        patch.setattr(cards, "write", then_interrupted)
        train(tmp_path / "model.keras")
    assert (tmp_path / "model.json").exists()
    assert_same(train(tmp_path / "model.keras"), undisturbed)
    assert cards.load(tmp_path / "model.keras")


def test_a_checkpoint_of_other_settings_is_left_alone(steps, undisturbed, tmp_path):
    steps.interrupt(tmp_path / "model.keras", 8, seed=1)
    assert_same(train(tmp_path / "model.keras"), undisturbed)


def test_a_finished_training_is_not_repeated(steps, undisturbed, tmp_path):
    train(tmp_path / "model.keras")
    steps.batches.clear()
    assert_same(train(tmp_path / "model.keras"), undisturbed)
    assert not steps.batches


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"seed": 1}, "with seed 0, not 1"),
        (
            {"recipe": Recipe(epochs=4, batch_size=4, augment=True)},
            "with batch_size 8, not",
        ),
    ],
)
def test_a_finished_training_of_other_settings_is_refused(other, said, tmp_path):
    train(tmp_path / "model.keras")
    with pytest.raises(cards.CardError, match=rf"model.keras was trained {said}"):
        train(tmp_path / "model.keras", **other)


def test_a_training_that_goes_on_elsewhere_is_not_begun(steps, undisturbed, tmp_path):
    elsewhere = pytest.raises(files.LockedError, match="held by another process")
    with files.locked(tmp_path / ".model.lock"), elsewhere:
        train(tmp_path / "model.keras")
    assert not steps.batches
    assert_same(train(tmp_path / "model.keras"), undisturbed)


def test_a_finished_training_leaves_the_model_and_its_card(steps, tmp_path):
    train(tmp_path / "deep/model.keras")
    left = {path.name for path in (tmp_path / "deep").iterdir()}
    assert left - {".model.lock"} == {"model.json", "model.keras"}


# Damage, and what is somebody else's


def test_a_damaged_checkpoint_is_set_aside(steps, undisturbed, tmp_path, capsys):
    steps.interrupt(tmp_path / "model.keras", 8)
    checkpoint = checkpoint_in(tmp_path)
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(content)
    assert_same(train(tmp_path / "model.keras"), undisturbed)
    assert len(steps.batches) == 4 * STEPS
    assert f"{checkpoint} is damaged" in capsys.readouterr().err


def test_another_seeds_checkpoint_under_this_ones_name(steps, undisturbed, tmp_path):
    steps.interrupt(tmp_path / "model.keras", 8)
    own = checkpoint_in(tmp_path)
    own.unlink()
    steps.interrupt(tmp_path / "model.keras", 8, seed=1)
    checkpoint_in(tmp_path).rename(own)
    assert_same(train(tmp_path / "model.keras"), undisturbed)
    assert len(steps.batches) == 4 * STEPS


def test_a_damaged_model_is_set_aside_and_trained_again(undisturbed, tmp_path, capsys):
    path = tmp_path / "model.keras"
    train(path)
    path.write_bytes(path.read_bytes()[:-1])
    assert_same(train(path), undisturbed)
    assert f"{path} cannot be used" in capsys.readouterr().err
    assert cards.load(path)


def test_a_model_of_somebody_elses_is_neither_read_nor_replaced(steps, tmp_path):
    (tmp_path / "model.keras").write_bytes(b"mine")
    with pytest.raises(cards.CardError, match="was not trained here"):
        train(tmp_path / "model.keras")
    assert (tmp_path / "model.keras").read_bytes() == b"mine"
    assert not steps.batches


@pytest.mark.parametrize("name", ["model", "model.h5", "model.keras.zip", ".keras", ""])
def test_a_name_that_is_no_keras_files_is_refused_before_training(
    name, steps, tmp_path
):
    with pytest.raises(TrainingError, match=r"is called <name>\.keras"):
        train(tmp_path / name)
    assert not steps.batches and not list(tmp_path.iterdir())


def test_a_folder_is_no_model(steps, tmp_path):
    (tmp_path / "model.keras").mkdir()
    with pytest.raises(TrainingError, match="no folder"):
        train(tmp_path / "model.keras")
    assert not steps.batches


# The card


def test_the_card_says_what_the_model_is(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/here/train_it", "--seed=7"])
    monkeypatch.setattr(magnet_cli, "command_line", lambda: None)
    path = tmp_path / "model.keras"
    train(path, seed=7, evaluate=lambda model: {"test_accuracy": 0.5})
    card = cards.read(path.with_suffix(".json"))
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", card.pop("date"))
    assert card == {
        "dataset": "made up",
        "epochs": 4,
        "batch_size": 8,
        "augment": True,
        "cutout": None,
        "peak_rate": None,
        "weight_decay": None,
        "bfloat16": False,
        "normalised": False,
        "activity_l2": 0.0,
        "seed": 7,
        "images": 20,
        "test_accuracy": 0.5,
        "computed_in": "float32",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "command": "python train_it --seed=7",
    }


def test_the_quality_is_that_of_the_trained_model(undisturbed, tmp_path):
    seen = []
    train(
        tmp_path / "model.keras",
        evaluate=lambda model: seen.append(model.get_weights()) or {},
    )
    assert_same(seen[0], undisturbed)


# What a step is given


def test_every_epoch_sees_each_image_once_in_another_order(steps, tmp_path):
    train(tmp_path / "model.keras", Recipe(epochs=3, batch_size=8))
    assert [len(x) for x, _ in steps.batches] == [8, 8, 4] * 3
    orders = []
    for epoch in range(3):
        batches = steps.batches[STEPS * epoch : STEPS * (epoch + 1)]
        x, y = (np.concatenate(part) for part in zip(*batches))
        order = [int(np.flatnonzero((i == IMAGES).all(axis=(1, 2, 3)))[0]) for i in x]
        assert sorted(order) == list(range(20))
        np.testing.assert_array_equal(y, LABELS[order])
        orders.append(order)
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_augmentation_is_used_where_the_recipe_says_so(steps, tmp_path):
    images = np.broadcast_to(np.arange(20.0)[:, None, None, None], (20, 20, 20, 1))
    images = images + np.arange(20.0)[:, None, None] / 32  # rows differ
    seen = {}
    for augment in (False, True):
        steps.batches.clear()
        model = keras.Sequential([layers.Input((20, 20, 1)), layers.Flatten()])
        model.compile("sgd", "mse")
        recipe = Recipe(epochs=1, batch_size=20, augment=augment)
        loop.train(
            lambda model=model: model,
            images,
            np.zeros((20, 400)),
            recipe,
            tmp_path / f"{augment}.keras",
            {},
            lambda model: {},
            0,
        )
        ((seen[augment], _),) = steps.batches
    order = [int(image.flat[0]) for image in seen[False]]
    np.testing.assert_array_equal(seen[False], images[order])
    assert (seen[True] != images[order]).any()


@pytest.mark.parametrize("pays", [True, False])
def test_an_interrupted_bfloat16_training_ends_with_the_same_weights(
    pays, tmp_path, steps, monkeypatch
):
    """In what it began, whatever the machine that it goes on with is faster in."""
    monkeypatch.setattr(precision, "bfloat16_pays", lambda: pays)
    recipe = Recipe(epochs=4, batch_size=8, augment=True, bfloat16=True)
    path = tmp_path / "model.keras"
    steps.interrupt(path, after=2 * STEPS + 1, recipe=recipe)
    monkeypatch.setattr(precision, "bfloat16_pays", lambda: not pays)
    resumed = train(path, recipe)
    monkeypatch.setattr(precision, "bfloat16_pays", lambda: pays)
    assert len(steps.batches) == 2 * STEPS - 1
    assert_same(train(tmp_path / "undisturbed.keras", recipe), resumed)
