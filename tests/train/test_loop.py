"""What is interrupted or damaged ends with the weights of an undisturbed training."""

import hashlib
import io
import json
import re
import sys

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from train import loop
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
    return loop.train(build, *data, evaluate, seed).get_weights()


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
    (checkpoint,) = folder.glob("model.*.weights.h5")
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


def test_interrupted_before_the_card_was_written(steps, undisturbed, tmp_path):
    def interrupted(model):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "model.keras", evaluate=interrupted)
    steps.batches.clear()
    assert loop.trained(tmp_path / "model.keras") is None
    assert_same(train(tmp_path / "model.keras"), undisturbed)
    assert not steps.batches  # the last checkpoint had everything


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
    with pytest.raises(ValueError, match=rf"model.keras was trained {said}"):
        train(tmp_path / "model.keras", **other)


def test_a_training_that_goes_on_elsewhere_is_not_begun(steps, undisturbed, tmp_path):
    elsewhere = pytest.raises(ValueError, match="is being trained by another process")
    with loop.locked(tmp_path / "model.keras"), elsewhere:
        train(tmp_path / "model.keras")
    assert not steps.batches
    assert_same(train(tmp_path / "model.keras"), undisturbed)


def test_a_finished_training_leaves_the_model_and_its_card(steps, tmp_path):
    train(tmp_path / "deep/model.keras")
    files = sorted(path.name for path in (tmp_path / "deep").iterdir())
    assert files == ["model.json", "model.keras"]


# Damage


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2]


def altered_index(content: bytes) -> bytes:
    """One byte of HDF5's index of names is another; HDF5 itself has no digest."""
    at = content.index(b"HEAP") + 16
    return content[:at] + b"\xff" + content[at + 1 :]


def incomplete(content: bytes) -> bytes:
    """HDF5 that lacks the last layer's last array: loading fails half way."""
    arrays, file = [], io.BytesIO(content)
    with h5py.File(file, "a") as archive:
        archive.visititems(
            lambda name, item: arrays.append(name) if hasattr(item, "dtype") else None
        )
        del archive[max(name for name in arrays if "layers" in name)]
    return file.getvalue()


@pytest.mark.parametrize(
    "damage",
    [
        truncated,
        altered_index,
        incomplete,
        lambda content: content[:-1],
        lambda content: b"",
        lambda content: b"not HDF5",
    ],
    ids=["truncated", "altered index", "incomplete", "a byte short", "empty", "text"],
)
def test_a_damaged_checkpoint_is_set_aside(
    damage, steps, undisturbed, tmp_path, capsys
):
    steps.interrupt(tmp_path / "model.keras", 8)
    checkpoint = checkpoint_in(tmp_path)
    damaged = damage(checkpoint.read_bytes())
    checkpoint.write_bytes(damaged)
    assert_same(train(tmp_path / "model.keras"), undisturbed)
    assert len(steps.batches) == 4 * STEPS
    assert f"{checkpoint} is damaged" in capsys.readouterr().err
    aside = checkpoint.with_name(f"{checkpoint.name}.damaged")
    assert aside.read_bytes() == damaged


@pytest.fixture
def finished(tmp_path):
    """The path of a finished model."""
    train(tmp_path / "model.keras")
    return tmp_path / "model.keras"


def test_a_finished_model_is_found(finished, undisturbed, capsys):
    assert_same(loop.trained(finished).get_weights(), undisturbed)
    assert not capsys.readouterr().err


@pytest.mark.parametrize("missing", ["model.keras", "model.json"])
def test_a_model_without_its_card_is_not_finished(missing, finished):
    (finished.parent / missing).unlink()
    assert loop.trained(finished) is None


def test_an_altered_model_is_set_aside(finished, undisturbed, capsys):
    content = bytearray(finished.read_bytes())
    content[len(content) // 2] ^= 1
    finished.write_bytes(content)
    assert loop.trained(finished) is None
    assert f"{finished} is not the file its card" in capsys.readouterr().err
    assert finished.with_name("model.keras.damaged").read_bytes() == content
    assert_same(train(finished), undisturbed)
    assert_same(loop.trained(finished).get_weights(), undisturbed)


@pytest.mark.parametrize("card", ["", "{}", "[]", '{"sha256": 0}'])
def test_a_model_with_a_damaged_card_is_set_aside(card, finished, capsys):
    finished.with_suffix(".json").write_text(card)
    assert loop.trained(finished) is None
    assert str(finished) in capsys.readouterr().err and not finished.exists()


# The card


def test_the_card_says_what_the_model_is(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/here/train_it", "--seed=7"])
    monkeypatch.setitem(sys.modules, "__main__", None)
    path = tmp_path / "model.keras"
    train(path, seed=7, evaluate=lambda model: {"test_accuracy": 0.5})
    card = json.loads(path.with_suffix(".json").read_text())
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", card.pop("date"))
    assert card == {
        "dataset": "made up",
        "epochs": 4,
        "batch_size": 8,
        "augment": True,
        "peak_rate": None,
        "bfloat16": False,
        "normalised": False,
        "activity_l2": 0.0,
        "seed": 7,
        "images": 20,
        "test_accuracy": 0.5,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "command": "python -m train_it --seed=7",
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


def test_augmented_images_are_shifted_and_flipped_copies():
    """Of 20x30 images: by up to 2 and 3 pixels, edges repeated; all combinations."""
    random = np.random.RandomState(0)
    images = random.uniform(size=(1500, 20, 30, 2)).astype(np.float32)
    result = loop.augmented(images, np.random.default_rng(0))
    padded = np.pad(images, [(0, 0), (2, 2), (3, 3), (0, 0)], mode="edge")
    explained = np.zeros(1500, int)
    used = set()
    for down in range(5):
        for right in range(7):
            shifted = padded[:, down : down + 20, right : right + 30]
            for flip in (1, -1):
                same = (result == shifted[:, :, ::flip]).all(axis=(1, 2, 3))
                explained += same
                if same.any():
                    used.add((down, right, flip))
    np.testing.assert_array_equal(explained, 1)
    assert len(used) == 5 * 7 * 2


def test_augmentation_follows_its_generator():
    one, again, other = (
        loop.augmented(IMAGES.repeat(2, 1).repeat(2, 2), np.random.default_rng(seed))
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_small_images_are_flipped_alone():
    result = loop.augmented(IMAGES, np.random.default_rng(0))
    kept = (result == IMAGES).all(axis=(1, 2, 3))
    flipped = (result == IMAGES[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (kept ^ flipped).all() and kept.any() and flipped.any()


def compiled_for_bfloat16() -> keras.Model:
    """With a regularizer of activations, whose sum bfloat16 would round."""
    model = keras.Sequential(
        [
            layers.Input((6, 6, 1)),
            layers.Conv2D(4, 3, activity_regularizer=keras.regularizers.L2(1e-3)),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, run_eagerly=True)
    return model


def test_bfloat16_computes_so_and_ends_near_float32_in_a_float32_model(tmp_path):
    copy = loop.in_bfloat16(compiled_for_bfloat16())
    assert [layer.compute_dtype for layer in copy.layers] == ["bfloat16"] * 2 + [
        "float32"
    ]
    assert {v.dtype for v in copy.trainable_variables} == {"float32"}

    ends = {}
    for bfloat16 in (False, True):
        recipe = Recipe(epochs=4, batch_size=8, bfloat16=bfloat16)
        path = tmp_path / f"{bfloat16}.keras"
        loop.train(
            compiled_for_bfloat16, IMAGES, LABELS, recipe, path, {}, lambda _: {}, 0
        )
        ends[bfloat16] = loop.trained(path)
    assert {layer.compute_dtype for layer in ends[True].layers} == {"float32"}
    for one, other in zip(*(model.get_weights() for model in ends.values())):
        np.testing.assert_allclose(one, other, atol=0.02)
        assert (one != other).any()


def test_an_interrupted_bfloat16_training_ends_with_the_same_weights(tmp_path, steps):
    recipe = Recipe(epochs=4, batch_size=8, augment=True, bfloat16=True)
    path = tmp_path / "model.keras"
    steps.interrupt(path, after=2 * STEPS + 1, recipe=recipe)
    resumed = train(path, recipe)
    assert len(steps.batches) == 2 * STEPS - 1
    assert_same(train(tmp_path / "undisturbed.keras", recipe), resumed)


def test_annealed_adam_falls_from_the_recipes_rate_to_zero():
    recipe = Recipe(epochs=3, batch_size=8, peak_rate=0.5)
    rate = loop.annealed_adam(recipe, count=20)._learning_rate
    expected = [0.25 * (1 + np.cos(np.pi * step / 9)) for step in range(10)]
    np.testing.assert_allclose([float(rate(s)) for s in range(10)], expected, atol=1e-6)


# Backends


@pytest.mark.parametrize(
    ("backend", "gpus", "jit"),
    [
        ("tensorflow", [], False),
        ("tensorflow", ["gpu:0"], "auto"),
        ("jax", RuntimeError("Unknown backend: 'gpu' requested"), "auto"),
    ],
)
def test_what_xla_compiles(backend, gpus, jit, monkeypatch):
    """JAX raises where it is asked for GPUs and there are none."""

    def list_devices(kind):
        if isinstance(gpus, Exception):
            raise gpus
        return gpus

    monkeypatch.setattr(keras.backend, "backend", lambda: backend)
    monkeypatch.setattr(keras.distribution, "list_devices", list_devices)
    assert loop.compiled_by_xla() == jit
