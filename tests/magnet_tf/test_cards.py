"""Models and their cards: what was written is found, and whatever was altered is noticed."""

import json
import shutil

import keras
import numpy as np
import pytest

from magnet_tf import cards, files, zoo

CONTENT = {
    "dataset": "made up",
    "structure": (3, "average", 3),
    "epochs": 60,
    "test_accuracy": 0.9944,
    "command": "python -m train.it",
}


def model(weight: float = 2.0) -> keras.Model:
    made = keras.Sequential(
        [keras.layers.Input((2,)), keras.layers.Dense(1, use_bias=False)]
    )
    made.set_weights([np.float32([[weight], [weight]])])
    return made


@pytest.fixture
def path(tmp_path):
    """Of a trained model, its card beside it."""
    cards.save(tmp_path / "it.keras", model(), CONTENT)
    return tmp_path / "it.keras"


def names(path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir())


def test_a_model_is_found_with_its_card_and_fingerprint(path):
    trained = cards.load(path)
    assert trained.model.get_weights()[0].tolist() == [[2], [2]]
    assert trained.fingerprint == files.sha256(path)
    assert trained.card == {
        **CONTENT,
        "structure": [3, "average", 3],
        "sha256": trained.fingerprint,
    }
    assert trained.quality == "test accuracy 0.9944"
    found = cards.load_or_set_aside(path)
    assert (found.card, found.fingerprint) == (trained.card, trained.fingerprint)
    assert names(path) == ["it.json", "it.keras"]


def test_what_is_saved_is_what_is_found(tmp_path):
    saved = cards.save(tmp_path / "it.keras", model(), CONTENT)
    found = cards.load(tmp_path / "it.keras")
    assert (saved.card, saved.fingerprint) == (found.card, found.fingerprint)


def test_a_model_that_was_trained_otherwise(path):
    assert cards.load(path, epochs=60, structure=(3, "average", 3))
    for load in (cards.load, cards.load_or_set_aside):
        with pytest.raises(cards.CardError, match="trained with epochs 60, not 100"):
            load(path, epochs=100)
    assert names(path) == ["it.json", "it.keras"]


def altered(**change):
    """A card with other content and its old digest."""

    def alter(file):
        card = json.loads(file.read_text())
        file.write_text(json.dumps({**card, **change}))

    return alter


def without(key):
    def alter(file):
        card = json.loads(file.read_text())
        del card[key]
        file.write_text(json.dumps(card))

    return alter


DAMAGE = {
    "epochs are a text": altered(epochs="many"),
    "epochs are a truth": altered(epochs=True),
    "accuracy": altered(test_accuracy=0.9945),
    "accuracy is no number": altered(test_accuracy=float("nan")),
    "another digest": altered(digest="0" * 64),
    "digest is no text": altered(digest=None),
    "a key more": altered(more=1),
    **{f"no {key}": without(key) for key in ("epochs", "command", "sha256", "dataset")},
    "truncated": lambda file: file.write_bytes(file.read_bytes()[:-20]),
    "empty": lambda file: file.write_bytes(b""),
    "no text": lambda file: file.write_bytes(b"\xff\x00"),
    "deep": lambda file: file.write_text("[" * 100_000),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_an_altered_card_is_a_damaged_card(damage, path, capsys):
    damage(path.with_suffix(".json"))
    before = path.read_bytes(), path.with_suffix(".json").read_bytes()
    with pytest.raises(cards.DamagedError, match=r"it\.json is damaged"):
        cards.load(path)
    assert names(path) == ["it.json", "it.keras"]  # nothing is renamed

    assert cards.load_or_set_aside(path) is None
    assert names(path) == ["it.json.damaged", "it.keras.damaged"]
    kept = [path.with_name(f"it.{kind}.damaged") for kind in ("keras", "json")]
    assert tuple(file.read_bytes() for file in kept) == before
    assert "was kept as it.keras.damaged" in capsys.readouterr().err


def test_an_altered_model_is_noticed(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(cards.DamagedError, match=r"it\.keras is damaged"):
        cards.load(path)
    assert cards.load_or_set_aside(path) is None
    assert path.with_name("it.keras.damaged").read_bytes() == content


def test_a_damaged_card_alone_is_set_aside(path):
    path.unlink()
    path.with_suffix(".json").write_text("")
    assert cards.load_or_set_aside(path) is None
    assert names(path) == ["it.json.damaged"]


def test_a_card_alone_is_no_model(path):
    path.unlink()
    with pytest.raises(cards.DamagedError, match=r"it\.keras is missing"):
        cards.load(path)
    assert cards.load_or_set_aside(path) is None
    assert names(path) == ["it.json"]


def test_nothing_is_found_where_there_is_nothing(tmp_path):
    assert cards.load_or_set_aside(tmp_path / "it.keras") is None


# What is somebody else's


@pytest.mark.parametrize("content", [None, "{}", "[]", '{"epochs": 60}', "null"])
def test_a_model_that_was_not_trained_here_is_refused(content, path):
    path.with_suffix(".json").unlink()
    if content:
        path.with_suffix(".json").write_text(content)
    before = names(path)
    for load in (cards.load, cards.load_or_set_aside):
        with pytest.raises(cards.CardError, match="trained here.*another place"):
            load(path)
    assert names(path) == before


def test_somebody_elses_json_is_refused(tmp_path):
    (tmp_path / "it.json").write_text('{"mine": 1}')
    with pytest.raises(cards.CardError, match=r"it\.json is not a card"):
        cards.load_or_set_aside(tmp_path / "it.keras")
    assert (tmp_path / "it.json").read_text() == '{"mine": 1}'


def test_nothing_of_the_package_is_renamed(tmp_path, monkeypatch):
    monkeypatch.setattr(cards, "PACKAGE", tmp_path)
    (tmp_path / "zoo/digits").mkdir(parents=True)
    for name in ("autoencoder_I.json", "autoencoder_I.keras"):
        shutil.copy(zoo.ROOT / "digits" / name, tmp_path / "zoo/digits")
    path = tmp_path / "zoo/digits/autoencoder_I.keras"
    path.write_bytes(path.read_bytes()[:-1])
    (tmp_path / "link").symlink_to(path.parent)
    for reached in (path, tmp_path / "link" / path.name):
        with pytest.raises(cards.DamagedError, match="is damaged.* install it again"):
            cards.load_or_set_aside(reached)
    assert names(path) == ["autoencoder_I.json", "autoencoder_I.keras"]
    with pytest.raises(cards.DamagedError, match="is missing.*another place"):
        cards.load_or_set_aside(path.with_name("classifier.keras"))


# Writing


def test_a_model_is_never_there_without_its_card(path, monkeypatch):
    """Whenever the writing of another one is interrupted."""

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cards.os, "replace", interrupted)
        cards.save(path.with_name("other.keras"), model(), CONTENT)
    assert names(path) == ["it.json", "it.keras"]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(cards, "write", interrupted)
        cards.save(path.with_name("other.keras"), model(), CONTENT)
    assert names(path) == ["it.json", "it.keras"]
    assert cards.load(path)


def test_another_model_replaces_what_is_there(path):
    cards.save(path, model(3.0), {**CONTENT, "epochs": 61})
    assert cards.load(path, epochs=61).model.get_weights()[0].tolist() == [[3], [3]]


def test_no_number_is_no_content(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        cards.write(tmp_path / "it.json", {"alpha": float("nan")})
    assert not list(tmp_path.iterdir())
