"""What the project keeps on disk: it comes back as it was, or is named and made again."""

import functools
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from hypothesis import strategies as st

from eval import benchmark
from eval.store import Store
from magnet_tf import cards
from tests.fuzz.cases import RESULT, Kind, attempt
from tests.fuzz.mutations import altered, contents, json_edits, spoiled
from train import checkpoint

SETTINGS = {"dataset": "digits", "seed": 0, "confidences": [0, 10]}
MADE_WITH = {"classifier": "abc", "num_examples": 3}
NAMES = (
    "examples",
    "attacks/cw-kappa0-000",
    "attacks/cw-kappa5-000",
    "verdicts/D/clean",
)


def arrays_of(seed: int) -> dict[str, np.ndarray]:
    """Arrays as an evaluation keeps them; others for each seed."""
    draw = np.random.RandomState(seed)
    return {
        "L2/adversarial": draw.uniform(size=(3, 2, 2, 1)).astype(np.float32),
        "L2/success": draw.uniform(size=3) < 0.5,
        "order": draw.permutation(5),
        "none": np.zeros((0, 2)),
    }


def same(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    """Whether two sets of arrays are equal in names, types, shapes and bits."""
    return one.keys() == other.keys() and all(
        (one[k].dtype, one[k].shape, one[k].tobytes())
        == (other[k].dtype, other[k].shape, other[k].tobytes())
        for k in one
    )


def aside(path: Path) -> list[bytes]:
    """What was kept of a file under other names."""
    return [file.read_bytes() for file in path.parent.glob(f"{path.name}.*")]


# Stored arrays


def stored(value: tuple, folder: Path) -> str:
    """A file of a store after something happened to it."""
    how, what = value
    with Store(folder, SETTINGS) as store:
        for seed, name in enumerate(NAMES):
            store.save(name, MADE_WITH, arrays_of(seed))
        path, ask = folder / f"{NAMES[1]}.npz", MADE_WITH
        if how == "bytes":
            path.write_bytes(spoiled(path.read_bytes(), what))
        elif how == "copy":
            shutil.copy(folder / f"{NAMES[what]}.npz", path)
        elif how == "ask":
            ask = altered(MADE_WITH, what)
        else:  # written again by other hands
            key, replacement = what
            with np.load(path) as archive:
                held = dict(archive)
            held[sorted(held)[key]] = np.asarray(replacement)
            np.savez(path, **held)
        before = path.read_bytes()
        found = store.load(NAMES[1], ask)
        if found is not None:
            assert same(found, arrays_of(1)), "other arrays came back"
            assert json.dumps(ask) == json.dumps(MADE_WITH), "made with other settings"
            return RESULT
        assert before in aside(path) and not path.exists(), "what was there is lost"
        store.save(NAMES[1], MADE_WITH, arrays_of(1))
        assert same(store.load(NAMES[1], MADE_WITH) or {}, arrays_of(1))
        return "set aside"


stores = st.one_of(
    st.tuples(st.just("bytes"), contents),
    st.tuples(st.just("copy"), st.sampled_from([0, 2, 3])),
    st.tuples(st.just("ask"), json_edits.map(lambda changes: changes[:1])),
    st.tuples(
        st.just("array"),
        st.tuples(st.integers(0, 6), st.sampled_from([0, "{}", "abc", [1, 2], 0.5])),
    ),
)


def settings(value: Any, folder: Path) -> str:
    """A directory whose settings were altered."""
    Store(folder, SETTINGS).close()
    path = folder / "settings.json"
    sound = json.loads(path.read_text())
    how, what = value
    if how == "bytes":
        path.write_bytes(spoiled(path.read_bytes(), what))
    else:
        path.write_text(json.dumps(altered(sound, what)))
    before = path.read_bytes()
    store, outcome = attempt(lambda: Store(folder, SETTINGS), folder)
    if store is None:
        assert path.read_bytes() == before and not aside(path)
        return outcome
    store.close()
    assert json.loads(path.read_text()) == sound
    if aside(path):
        assert aside(path) == [before]
        return "set aside"
    assert json.loads(before) == sound, "other settings went unnoticed"
    return RESULT


# Models and their cards

CARD = {
    "dataset": "digits",
    "structure": [3, "average", 3],
    "epochs": 60,
    "seed": 0,
    "test_accuracy": 0.9944,
    "command": "python -m train.classifier",
}


@functools.cache
def models() -> tuple[Path, list[np.ndarray]]:
    """A folder with a trained model and its card, and the model's weights."""
    folder = Path(tempfile.mkdtemp())
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(2)])
    cards.save(folder / "it.keras", model, CARD)
    other = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(2)])
    cards.save(folder / "other.keras", other, {**CARD, "structure": [3]})
    return folder, model.get_weights()


def trained(value: tuple, folder: Path) -> str:
    """A model and its card after something happened to one of them."""
    source, weights = models()
    path = folder / "it.keras"
    for suffix in (".keras", ".json"):
        shutil.copy(source / f"it{suffix}", folder)
    suffix, how, what = value
    file = path.with_suffix(suffix)
    if how == "bytes":
        file.write_bytes(spoiled(file.read_bytes(), what))
    elif how == "json":
        card = altered(json.loads(path.with_suffix(".json").read_text()), what)
        path.with_suffix(".json").write_text(json.dumps(card))
    elif how == "gone":
        file.unlink()
    else:  # "copy", of one file or of both
        for one in (".keras", ".json") if what else (suffix,):
            shutil.copy(source / f"other{one}", path.with_suffix(one))
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    found, outcome = attempt(
        lambda: cards.load_or_set_aside(path, structure=(3, "average", 3), seed=0),
        path.stem,
    )
    after = {p.name: p.read_bytes() for p in folder.iterdir()}
    if found:
        assert {k: v for k, v in found.card.items() if k != "sha256"} == CARD
        assert found.fingerprint == found.card["sha256"]
        assert found.quality == "test accuracy 0.9944"
        for one, other in zip(found.model.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(one, other)
    assert sorted(after.values()) == sorted(before.values()), "a file is lost"
    if found or outcome != RESULT:
        assert after == before
        return outcome
    # nothing stands at the model's name, so that it is trained anew
    assert not path.exists()
    return "set aside"


MODEL_FILES = st.one_of(
    st.tuples(st.sampled_from([".keras", ".json"]), st.just("bytes"), contents),
    st.tuples(st.just(".json"), st.just("json"), json_edits),
    st.tuples(st.sampled_from([".keras", ".json"]), st.just("gone"), st.none()),
    st.tuples(st.sampled_from([".keras", ".json"]), st.just("copy"), st.booleans()),
)


# Checkpoints

TRAINING = {"seed": 0, "structure": [3, "average", 3]}


@functools.cache
def learner() -> tuple[keras.Model, list[np.ndarray], dict[str, bytes]]:
    """A model, the state it starts from, and checkpoints of trainings of it."""
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(2)])
    model.compile(keras.optimizers.Adam(0.1), "mse", run_eagerly=True)
    model.optimizer.build(model.trainable_variables)
    start, found = state(model), {}
    folder = Path(tempfile.mkdtemp())
    for name, of in (("own", TRAINING), ("another", {**TRAINING, "seed": 1})):
        model.train_on_batch(np.ones((4, 2), np.float32), np.zeros((4, 2), np.float32))
        checkpoint.save(folder / name, model, of)
        found[name] = (folder / name).read_bytes()
        if name == "own":
            trained_to = state(model)
    return model, [start, trained_to], found  # type: ignore[return-value]


def state(model: keras.Model) -> list[np.ndarray]:
    """All that a checkpoint holds of a model."""
    return [np.array(v) for v in [*model.weights, *model.optimizer.variables]]


def unfinished(value: tuple, folder: Path) -> str:
    """A checkpoint after something happened to it."""
    model, (start, trained_to), found = learner()
    for variable, array in zip(
        [*model.weights, *model.optimizer.variables], start, strict=True
    ):
        variable.assign(array)
    name, what = value
    path = folder / "it.checkpoint"
    path.write_bytes(spoiled(found[name], what))
    before = path.read_bytes()
    checkpoint.load(path, model, TRAINING)
    if path.exists():
        expected, outcome = trained_to, RESULT
        assert before == found["own"], "an altered checkpoint was taken"
    else:
        expected, outcome = start, "set aside"
        assert before in aside(path)
    for one, other in zip(state(model), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    return outcome


# Benchmarks

MEASURED = {
    "batch size cw": {"rows": [{"batch_size": 4, "ours_ms": 1.0, "floor_ms": 0.9}]}
}


def measured(value: Any, folder: Path) -> str:
    """A benchmark's results after something happened to them."""
    path, asked = folder / "benchmark.json", {"dataset": "digits", "repeats": 5}
    benchmark.keep(path, asked, MEASURED)
    how, what = value
    if how == "bytes":
        path.write_bytes(spoiled(path.read_bytes(), what))
    else:
        path.write_text(json.dumps(altered(json.loads(path.read_text()), what)))
    before = path.read_bytes()
    found, outcome = attempt(lambda: benchmark.stored_results(path, asked), path)
    if outcome != RESULT:
        assert path.read_bytes() == before
    elif found:
        assert found == MEASURED, "other results came back"
    else:
        assert before in aside(path)
        return "set aside"
    return outcome


documents = st.tuples(st.just("bytes"), contents) | st.tuples(
    st.just("json"), json_edits
)
KINDS = {
    "store": Kind(stores, stored, share=2000, in_ci=60),
    "settings": Kind(documents, settings, share=1000, in_ci=40),
    "card": Kind(MODEL_FILES, trained, share=1500, in_ci=40),
    "checkpoint": Kind(
        st.tuples(st.just("own"), contents)
        | st.tuples(st.just("another"), st.just([])),
        unfinished,
        share=700,
        in_ci=30,
    ),
    "benchmark": Kind(documents, measured, share=500, in_ci=30),
}
