"""A checkpoint holds all of a training, or says why it cannot be used."""

import os

import keras
import numpy as np
import pytest

from magnet_tf.files import WriteError
from train import checkpoint

SETTINGS = {"seed": 0, "structure": [3, "average", 3]}


def model(units: int = 2) -> keras.Model:
    """A model that has learned a little, its weights known by its units."""
    made = keras.Sequential(
        [
            keras.layers.Input((3,)),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(units),
        ]
    )
    made.compile(keras.optimizers.Adam(0.1), "mse", run_eagerly=True)
    x = np.random.RandomState(0).uniform(size=(8, 3)).astype(np.float32)
    for _ in range(3):
        made.train_on_batch(x, x[:, :1].repeat(units, 1))
    return made


def state(of: keras.Model) -> list[np.ndarray]:
    return [
        keras.ops.convert_to_numpy(v) for v in [*of.weights, *of.optimizer.variables]
    ]


def assert_same(one: list, other: list) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def trained():
    return model()


@pytest.fixture
def fresh():
    made = keras.models.clone_model(model())
    made.compile(keras.optimizers.Adam(0.1), "mse", run_eagerly=True)
    made.optimizer.build(made.trainable_variables)
    return made


@pytest.fixture
def path(tmp_path, trained):
    path = checkpoint.path_of(tmp_path / "it.keras", SETTINGS)
    checkpoint.save(path, trained, SETTINGS)
    return path


def test_weights_statistics_and_optimizer_come_back(path, trained, fresh, capsys):
    checkpoint.load(path, fresh, SETTINGS)
    assert_same(state(fresh), state(trained))
    assert int(fresh.optimizer.iterations) == 3
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    assert not capsys.readouterr().err


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        *(
            lambda content, share=share: flipped(content, int(share * len(content)))
            for share in (0, 0.01, 0.3, 0.5, 0.7, 0.99)
        ),
        lambda content: content[: len(content) // 2],
        lambda content: content[:-1],
        lambda content: content + b"0",
        lambda content: content[:600] + bytes(64) + content[664:],
        lambda content: b"",
        lambda content: b"no archive",
    ],
)
def test_damage_is_set_aside_and_the_model_is_as_it_was(damage, path, fresh, capsys):
    before = state(fresh)
    damaged = damage(path.read_bytes())
    assert damaged != path.read_bytes()
    path.write_bytes(damaged)
    checkpoint.load(path, fresh, SETTINGS)
    assert_same(state(fresh), before)
    assert f"{path} is damaged; training starts again" in capsys.readouterr().err
    assert path.with_name(f"{path.name}.damaged").read_bytes() == damaged
    assert not path.exists()


@pytest.mark.parametrize(
    "other", [(2, {**SETTINGS, "seed": 1}), (3, SETTINGS)], ids=["seed", "model"]
)
def test_another_trainings_is_set_aside(other, path, fresh, capsys):
    """Under this one's name: it was copied, or the program is another."""
    units, settings = other
    checkpoint.save(path, model(units), settings)
    before = state(fresh)
    checkpoint.load(path, fresh, SETTINGS)
    assert_same(state(fresh), before)
    assert "is of another training" in capsys.readouterr().err
    assert [f.name for f in path.parent.iterdir()] == [f"{path.name}.outdated"]


def test_a_full_disk_ends_in_a_sentence_and_leaves_what_was_there(small_disk, trained):
    path = small_disk / "it.checkpoint"
    checkpoint.save(path, trained, SETTINGS)
    before = path.read_bytes()
    (small_disk / "other").write_bytes(os.urandom(8_000))
    with pytest.raises(WriteError, match="it.checkpoint could not be .*make room"):
        checkpoint.save(path, trained, {**SETTINGS, "more": "x" * 16_000})
    assert sorted(file.name for file in small_disk.iterdir()) == [path.name, "other"]
    assert path.read_bytes() == before
