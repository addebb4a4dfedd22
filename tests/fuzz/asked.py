"""What is asked of the library: attacks and defences, with arguments good and bad."""

import functools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from hypothesis import strategies as st

import attacks
from magnet_tf import (
    DivergenceDetector,
    MagNet,
    ReconstructionDetector,
    Reformer,
    autoencoders,
)
from tests.attacks.small_model import CLASSES, SHAPE, SmallModel, images
from tests.fuzz.cases import RESULT, Kind, attempt

# Attacks

COUNTS = (1, 2, 7, 16)  # all in a chunk of 16, which is compiled once
SETTINGS = [
    {"max_iterations": 20, "binary_search_steps": 3, "initial_const": 1.0},
    {"max_iterations": 15, "binary_search_steps": 2, "learning_rate": 0.1},
    {"search": "primal_dual", "gradients": 60},
    {"search": "primal_dual", "gradients": 60, "targeted": True},
    {
        "max_iterations": 20,
        "initial_const": 1.0,
        "binary_search_steps": 3,
        "targeted": True,
    },
    {"search": "primal_dual", "gradients": 30, "bounds": (-1.0, 3.0)},
]


@functools.cache
def victim() -> tuple[keras.Model, SmallModel]:
    """A classifier of layers that do something else in training, and itself in float64."""
    small = SmallModel()
    hidden = len(small.float32[1])
    model = keras.Sequential(
        [
            keras.layers.Input(SHAPE),
            keras.layers.RandomRotation(0.2),
            keras.layers.Flatten(),
            keras.layers.Dense(hidden, activation="tanh"),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(CLASSES),
        ]
    )
    model.layers[2].set_weights(small.float32[:2])
    model.layers[4].set_weights(small.float32[2:])
    return model, small


def craft(rule: str, model: Any, x: Any, labels: Any, **settings: Any) -> Any:
    """The result of the attack that has a rule."""
    if rule == "L2":
        return attacks.carlini_wagner_l2(model, x, labels, **settings)
    found = attacks.elastic_net(model, x, labels, **settings)
    if isinstance(found, list):
        return [one[rule] for one in found]
    return found[rule]


def attacked(value: tuple, folder: Path) -> str:
    """That an attack's result is what it says."""
    rule, which, seed, confidence, order, spread = value
    model, small = victim()
    settings = SETTINGS[which]
    low, high = settings.get("bounds", (0.0, 1.0))
    x = images(len(order), seed)
    if spread:  # images of few values, at the bounds
        x = np.round(x)
    x = (x * (high - low) + low).astype(np.float32)
    n = np.arange(len(x))
    labels = small.logits(x).argmax(axis=1)
    if settings.get("targeted"):
        labels = (labels + 1 + seed % (CLASSES - 1)) % CLASSES
    before = [np.array(v).tobytes() for v in model.variables]
    result = craft(rule, model, x, labels, confidence=confidence, **settings)
    assert [np.array(v).tobytes() for v in model.variables] == before
    success, found = result.success, result.adversarial
    assert found.shape == x.shape and found.dtype == np.float32
    assert found.min() >= low and found.max() <= high, "out of bounds"
    np.testing.assert_array_equal(found[~success], x[~success])

    logits = small.logits(found.astype(np.float64))
    others = logits.copy()
    others[n, labels] = -np.inf
    lead = others.max(axis=1) - logits[n, labels]
    lead = -lead if settings.get("targeted") else lead
    assert (lead[success] >= confidence - 1e-4).all(), "not fooled by the margin"
    said = model.predict_on_batch(np.concatenate([found] * 16)[:16])[: len(x)]
    np.testing.assert_allclose(said, logits, atol=1e-4)

    change = np.abs(found.astype(np.float64) - x).reshape(len(x), -1)
    np.testing.assert_allclose(result.l1, change.sum(axis=1), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(result.linf, change.max(axis=1), rtol=1e-6, atol=1e-9)
    l2 = np.sqrt((change**2).sum(axis=1))
    np.testing.assert_allclose(result.l2, l2, rtol=1e-6, atol=1e-9)

    again = craft(
        rule, model, x[order], labels[order], confidence=confidence, **settings
    )
    for one, other in zip(result, again, strict=True):  # neighbours do not matter
        np.testing.assert_array_equal(one[order], other)
    return RESULT if success.any() else "no success"


def orders(count: int) -> st.SearchStrategy:
    """Orders of so many images."""
    return st.permutations(range(count))


results = st.tuples(
    st.sampled_from(["L2", "EN", "L1"]),
    st.integers(0, len(SETTINGS) - 1),
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.0, 0.5, 2.0, 5.0, 1000.0, 1e-30]),
    st.sampled_from(COUNTS).flatmap(orders),
    st.booleans(),
)


# Arguments of the attacks

X = images(5)
SPREAD = np.linspace(0, 1, X.size).reshape(X.shape)
STRANGE: list[Any] = [
    *(None, True, False, 0, 1, -1, 2.5, 1e39, -0.0, 1e-46, float("nan"), float("inf")),
    *(
        10**40,
        "1",
        "",
        b"1",
        1j,
        [],
        [1.0],
        [1.0, "a"],
        [[1.0], [1.0, 2.0]],
        {},
        {"a": 1},
    ),
    *((0, 1), (1, 0), (0.0, 1.0, 2.0), (None, 1), ("a", "b"), "ab", range(3), {1, 2}),
    *(np.float32(1), np.float64("nan"), np.int64(3), np.bool_(True), np.array(1.0)),
    *(
        np.array([0.0, 1.0]),
        np.array([]),
        np.array(["a"]),
        np.array([None]),
        object(),
        print,
    ),
    *(
        [0.0, 2.0],
        [0.0, -1.0],
        [float("nan")],
        np.zeros((2, 2)),
        [True],
        ["exact"],
        "exact",
    ),
    *(
        "primal_dual",
        "fista",
        "original",
        "none",
        "adaptive",
        60,
        6,
        3,
        np.datetime64("now"),
    ),
]
ARRAYS: list[Any] = [
    *(
        X,
        X.astype("f8"),
        X.astype("f2"),
        X * 255,
        (X * 255).astype("u1"),
        X[0],
        X[:0],
        X[..., 0],
    ),
    *(
        X.tolist(),
        tf.constant(X),
        X[:, :3],
        X - 1,
        X * np.nan,
        np.asfortranarray(X),
        X[::-1],
    ),
    *(
        np.where(X > 0.9, np.inf, X),
        X.astype(object),
        X.astype(str),
        np.ma.array(X),
        X[:1],
    ),
    *(
        X.astype("c8"),
        X.astype(">f4"),
        np.broadcast_to(X[:1], X.shape),
        [X[0], X[1][:3]],
    ),
    *(
        np.concatenate([X, X], axis=3),
        None,
        "images",
        0.5,
        [],
        {},
        [[None]],
        X.astype("f2") * 2,
    ),
]
LABELS: list[Any] = [
    *(
        np.arange(5) % 4,
        [0, 1, 2, 3, 0],
        np.arange(5),
        -np.arange(5),
        np.zeros(5),
        "01230",
        1,
    ),
    *(
        np.eye(4)[np.arange(5) % 4],
        np.arange(4),
        tf.constant([0, 1, 2, 3, 0]),
        [True] * 5,
        [],
    ),
    *(
        np.arange(5, dtype="u8") % 4,
        np.full(5, 2**63, "u8"),
        [[0], [1], [2], [3], [0]],
        None,
    ),
    *(
        np.arange(5).astype(str),
        np.arange(5).astype(object) % 4,
        [0, 1, 2, 3, None],
        [10**30] * 5,
    ),
]


def probabilities(x: Any) -> Any:
    """What is no classifier's output that can be attacked."""
    return tf.nn.softmax(victim()[0](x, training=False))


MODELS: list[Any] = [
    *(
        None,
        "model",
        3,
        probabilities,
        lambda x: x,
        lambda x: None,
        lambda: 0,
        lambda x, y: x,
    ),
    *(
        lambda x: tf.constant("a"),
        lambda x: tf.reduce_sum(x),
        lambda x: [x],
        lambda x: {"a": x},
    ),
    *(lambda x: np.zeros((len(x), 4)), lambda x: tf.zeros([3, 4])),
    lambda x: tf.zeros([tf.shape(x)[0], 4]) * np.nan,
]
FEW = {"max_iterations": 2, "binary_search_steps": 1}
NAMES = [
    *(
        "confidence",
        "targeted",
        "learning_rate",
        "max_iterations",
        "binary_search_steps",
    ),
    *("initial_const", "bounds", "batch_size", "search", "gradients", "jit_compile"),
    *("progress", "beta", "momentum"),
]


def argued(value: tuple, folder: Path) -> str:
    """An attack with some arguments that are others than they should be."""
    attack, given, others = value
    model, x, labels = victim()[0], X, np.arange(5) % 4
    pools = {"model": MODELS, "x": ARRAYS, "labels": LABELS}
    places = {name: pools[name][i % len(pools[name])] for name, i in others.items()}
    model, x, labels = (
        places.get(name, value)
        for name, value in (("model", model), ("x", x), ("labels", labels))
    )
    given = {name: STRANGE[index] for name, index in given.items()}
    if attack == "carlini_wagner_l2":
        given = {k: v for k, v in given.items() if k not in ("beta", "momentum")}
    few = {} if str(given.get("search")) == "primal_dual" else FEW
    settings = {**few, **given}
    found, outcome = attempt(
        lambda: getattr(attacks, attack)(model, x, labels, **settings)
    )
    if outcome != RESULT:
        assert outcome in ("InputError", "InputTypeError"), outcome
        return outcome
    low, high = given.get("bounds", (0, 1))
    for one in found if isinstance(found, list) else [found]:
        for result in one.values() if isinstance(one, dict) else [one]:
            assert len(result.success) == len(x)
            assert result.adversarial.dtype == np.float32
            assert (result.adversarial >= np.float32(low)).all()
            assert (result.adversarial <= np.float32(high)).all()
            assert np.isfinite(result.l2).all()
    return outcome


arguments = st.tuples(
    st.sampled_from(["carlini_wagner_l2", "elastic_net"]),
    st.dictionaries(
        st.sampled_from(NAMES), st.integers(0, len(STRANGE) - 1), min_size=1, max_size=2
    ),
    st.just({}),
) | st.tuples(
    st.sampled_from(["carlini_wagner_l2", "elastic_net"]),
    st.just({}),
    st.dictionaries(
        st.sampled_from(["x", "labels", "model"]),
        st.integers(0, 10**4),
        min_size=1,
        max_size=2,
    ),
)


# Defences


@functools.cache
def defence() -> MagNet:
    """A MagNet of small models."""
    keras.utils.set_random_seed(0)
    model = victim()[0]
    autoencoder = keras.Sequential(
        [keras.layers.Input(SHAPE), keras.layers.Conv2D(1, 3, padding="same")]
    )
    magnet = MagNet(
        model,
        Reformer(autoencoder),
        {
            "I": ReconstructionDetector(autoencoder),
            "JSD": DivergenceDetector(autoencoder, model),
        },
    )
    magnet.calibrate(images(50, 3), {"I": 0.1, "JSD": 0.1})
    return magnet


def defended(value: tuple, folder: Path) -> str:
    """A call of a MagNet with arguments that are others than they should be."""
    method, index, more = value
    magnet = defence()
    thresholds = magnet.thresholds
    rates = {"I": STRANGE[more % len(STRANGE)], "JSD": 0.1}
    if more % 5 == 0:
        rates.pop("JSD")
    if more % 7 == 0:
        rates["other"] = 0.1
    calls = {
        "judge": lambda: magnet.judge(ARRAYS[index % len(ARRAYS)]),
        "batches": lambda: magnet.judge(X, batch_size=STRANGE[more % len(STRANGE)]),
        "calibrate": lambda: magnet.calibrate(
            ARRAYS[index % len(ARRAYS)], {"I": 0.1, "JSD": 0.1}
        ),
        "rates": lambda: magnet.calibrate(images(20), rates),
        "thresholds": lambda: magnet.set_thresholds(rates),
        "no mapping": lambda: magnet.set_thresholds(STRANGE[more % len(STRANGE)]),
        "no rates": lambda: magnet.calibrate(images(20), STRANGE[more % len(STRANGE)]),
        "mark": lambda: magnet.detectors["I"].mark(ARRAYS[index % len(ARRAYS)]),
        "heal": lambda: magnet.reformer.heal(ARRAYS[index % len(ARRAYS)]),
    }
    try:
        found, outcome = attempt(calls[method])
        if outcome != RESULT:
            assert magnet.thresholds == thresholds, "a call that failed changed it"
        elif method in ("judge", "batches"):
            assert np.isfinite(found.logits).all() and found.passed.dtype == bool
            below = [
                found.marks[name] < np.float32(of) for name, of in thresholds.items()
            ]
            np.testing.assert_array_equal(found.passed, np.all(below, axis=0))
        elif method == "thresholds":
            of = rates["I"]
            assert magnet.thresholds["I"] == np.float32(of) and not isinstance(of, bool)
            assert np.isfinite(np.float32(of)) or of == np.inf, "another threshold"
        elif method in ("calibrate", "rates"):
            assert all(np.isfinite(list(magnet.thresholds.values())))
    finally:
        magnet.set_thresholds(thresholds)
    return outcome


calls = st.tuples(
    st.sampled_from(
        [
            "judge",
            "batches",
            "calibrate",
            "rates",
            "thresholds",
            "no mapping",
            "no rates",
        ]
        + ["mark", "heal"]
    ),
    st.integers(0, 10**4),
    st.integers(0, 10**4),
)


# Structures

ENTRIES = [
    1,
    2,
    3,
    "average",
    "max",
    0,
    -1,
    4097,
    10**8,
    2.5,
    True,
    None,
    "mean",
    "3",
    [],
    10**30,
]


def structured(value: tuple, folder: Path) -> str:
    """An autoencoder's structure, for images of any size."""
    structure, shape = value
    model, outcome = attempt(
        lambda: autoencoders.denoising_autoencoder(structure, shape)
    )
    if model:
        assert model.output_shape == (None, *shape)
        pools = sum(isinstance(entry, str) for entry in structure)
        assert all(type(entry) in (int, str) for entry in structure)
        assert 2**pools <= min(shape[:2])
    return outcome


structures = st.tuples(
    st.lists(st.sampled_from(ENTRIES[:5] * 4 + ENTRIES), max_size=5),
    st.tuples(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3])),
)

KINDS = {
    "attack": Kind(results, attacked, share=150, in_ci=3),
    "argument": Kind(arguments, argued, share=500, in_ci=25),
    "defence": Kind(calls, defended, share=500, in_ci=30),
    "structure": Kind(structures, structured, share=200, in_ci=8),
}
