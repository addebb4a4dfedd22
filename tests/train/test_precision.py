"""Training in bfloat16 against training in float32; what XLA compiles."""

import json

import keras
import numpy as np
import pytest
from keras import layers

from magnet_tf.regularizers import BatchL1L2
from train import loop, precision
from train.recipes import Recipe

RANDOM = np.random.RandomState(0)
IMAGES = RANDOM.uniform(size=(20, 6, 6, 1)).astype(np.float32)
LABELS = RANDOM.randint(0, 3, 20)


def build() -> keras.Model:
    """With a regularizer of activations, whose sum bfloat16 would round."""
    model = keras.Sequential(
        [
            layers.Input((6, 6, 1)),
            layers.Conv2D(4, 3, activity_regularizer=BatchL1L2(l2=1e-4)),
            layers.Flatten(),
            layers.Dense(3),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss, run_eagerly=True)
    return model


def test_bfloat16_computes_so_and_ends_near_float32_in_a_float32_model(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(precision, "bfloat16_pays", lambda: True)
    copy = precision.in_bfloat16(build())
    assert [layer.compute_dtype for layer in copy.layers] == ["bfloat16"] * 2 + [
        "float32"
    ]
    assert {v.dtype for v in copy.trainable_variables} == {"float32"}

    ends = {}
    for bfloat16 in (False, True):
        recipe = Recipe(epochs=4, batch_size=8, bfloat16=bfloat16)
        path = tmp_path / f"{bfloat16}.keras"
        ends[bfloat16] = loop.train(
            build, IMAGES, LABELS, recipe, path, {}, lambda _: {}, 0
        ).model
    assert {layer.compute_dtype for layer in ends[True].layers} == {"float32"}
    for one, other in zip(*(model.get_weights() for model in ends.values())):
        np.testing.assert_allclose(one, other, atol=0.02)
        assert (one != other).any()


@pytest.mark.parametrize(
    ("seconds", "computed_in"), [(0.2, "bfloat16"), (0.9, "float32"), (5, "float32")]
)
def test_bfloat16_is_for_machines_that_are_faster_in_it(
    seconds, computed_in, tmp_path, monkeypatch, capsys
):
    """Of convolutions that take a second in float32; the card says which it was."""
    monkeypatch.setattr(
        precision, "_seconds", {"float32": 1, "bfloat16": seconds}.__getitem__
    )
    monkeypatch.setattr(precision, "bfloat16_pays", precision.bfloat16_pays.__wrapped__)
    ends = {}
    for bfloat16 in (False, True):
        recipe = Recipe(epochs=1, batch_size=8, bfloat16=bfloat16)
        path = tmp_path / f"{bfloat16}.keras"
        given = build, IMAGES, LABELS, recipe, path, {}, lambda _: {}, 0
        ends[bfloat16] = loop.train(*given)
    card = json.loads(path.with_suffix(".json").read_text())
    assert (card["bfloat16"], card["computed_in"]) == (True, computed_in)
    slow = computed_in == "float32"
    assert ("so it trains in float32" in capsys.readouterr().out) == slow
    same = [
        np.array_equal(*pair)
        for pair in zip(*(end.model.get_weights() for end in ends.values()))
    ]
    assert all(same) == slow


def test_a_convolution_is_timed():
    assert all(0 < precision._seconds(name) < 60 for name in ("float32", "bfloat16"))


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
    assert precision.compiled_by_xla() == jit
