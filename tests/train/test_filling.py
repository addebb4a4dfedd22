"""Filling the zoo, from the zoo's own models of the digits."""

import shutil

import numpy as np
import pytest

from magnet_tf import cards, datasets
from magnet_tf import zoo as filled
from magnet_tf.autoencoders import PackedAutoencoder
from magnet_tf.outcomes import Outcome
from train.errors import TrainingError
from train.filling import copy, fill

MODELS = ("classifier", "autoencoder_I", "autoencoder_II")


@pytest.fixture
def models(tmp_path):
    """A folder of finished models, enough for D and D+JSD."""
    (tmp_path / "models").mkdir()
    for name in MODELS:
        for suffix in (".keras", ".json"):
            shutil.copy(filled.ROOT / "digits" / (name + suffix), tmp_path / "models")
    return tmp_path / "models"


def test_the_variants_whose_models_are_there(models, tmp_path, monkeypatch):
    assert fill("digits", models, tmp_path / "zoo" / "digits") == ["D", "D+JSD"]
    test = datasets.load("digits").test
    for variant in ("D", "D+JSD"):
        card = cards.read(tmp_path / f"zoo/digits/{variant}.json")
        magnet = filled.load("digits", variant)
        assert card["thresholds"] == pytest.approx(magnet.thresholds)
        accuracies = Outcome.of(magnet, *test).accuracies(attacked=False)
        assert card["test_accuracy_none"] == pytest.approx(accuracies.none)
        assert card["test_accuracy_both"] == pytest.approx(accuracies.both)
    monkeypatch.setattr(filled, "ROOT", tmp_path / "zoo")
    assert filled.entries() == [("digits", "D"), ("digits", "D+JSD")]
    assert filled.load("digits", "D").thresholds == pytest.approx(
        cards.read(tmp_path / "zoo/digits/D.json")["thresholds"]
    )


def test_what_is_there_already_stays_and_what_is_new_replaces_it(models, tmp_path):
    (target := tmp_path / "zoo").mkdir()
    for name in MODELS[:2]:
        copy(models / f"{name}.keras", target, "digits")
    first = {path.name: path.read_bytes() for path in target.iterdir()}
    for name in MODELS[:2]:
        copy(models / f"{name}.keras", target, "digits")
    assert {path.name: path.read_bytes() for path in target.iterdir()} == first
    card = cards.read(models / "autoencoder_I.json")
    cards.write(models / "autoencoder_I.json", {**card, "seed": 1})
    copy(models / "autoencoder_I.keras", target, "digits")
    assert cards.load(target / "autoencoder_I.keras").card["seed"] == 1
    assert (target / "classifier.keras").read_bytes() == first["classifier.keras"]


def test_packs_are_copied_those_of_an_attacker_too(models, tmp_path):
    """With the other models, of which nothing is asked here."""
    (models / "attacker").mkdir()
    trained = cards.load(models / "autoencoder_I.keras")
    for folder, seed in ((models, 0), (models / "attacker", 1000)):
        pack = PackedAutoencoder([trained.model, trained.model], seed)
        pack(np.zeros((1, 28, 28, 1), np.float32))
        own = {**trained.card, "count": 2, "seed": seed}
        cards.save(folder / "pack_I.keras", pack, own)
    fill("digits", models, tmp_path / "zoo")
    for folder, seed in (("", 0), ("attacker", 1000)):
        found = cards.load(tmp_path / "zoo" / folder / "pack_I.keras", count=2)
        assert found.model.seed == found.card["seed"] == seed
    assert not (tmp_path / "zoo" / "pack_II.keras").exists()


def test_a_damaged_copy_is_made_again(models, tmp_path):
    (target := tmp_path / "zoo").mkdir()
    for content in (b"", b"damaged"):
        (target / "classifier.keras").write_bytes(content)
        shutil.copy(models / "classifier.json", target)
        copy(models / "classifier.keras", target, "digits")
        assert cards.load(target / "classifier.keras")


def test_a_damaged_model_is_named_and_stays(models, tmp_path):
    (models / "autoencoder_II.keras").write_bytes(b"damaged")
    with pytest.raises(cards.DamagedError, match=r"autoencoder_II\.keras is damaged"):
        fill("digits", models, tmp_path / "zoo")
    assert (models / "autoencoder_II.keras").read_bytes() == b"damaged"


def test_models_of_another_dataset_are_refused(models, tmp_path):
    with pytest.raises(cards.CardError, match="with dataset 'digits', not 'mnist'"):
        copy(models / "classifier.keras", tmp_path, "mnist")


def test_an_autoencoder_under_anothers_name_is_refused(models, tmp_path):
    """With its card, and so in itself whole."""
    for suffix in (".keras", ".json"):
        shutil.copy(
            models / f"autoencoder_II{suffix}", models / f"autoencoder_I{suffix}"
        )
    message = (
        r"autoencoder_I\.keras was trained with structure \[3\], not \[3, 'average'"
    )
    with pytest.raises(cards.CardError, match=message):
        fill("digits", models, tmp_path / "zoo")
    assert not (tmp_path / "zoo/autoencoder_I.keras").exists()


def test_no_classifier(tmp_path):
    with pytest.raises(TrainingError, match="holds no finished classifier.keras"):
        fill("digits", tmp_path / "none", tmp_path / "zoo")


def test_a_dataset_without_variants_of_its_own(tmp_path):
    with pytest.raises(TrainingError, match="'kmnist' has no variants.*'mnist'"):
        fill("kmnist", tmp_path, tmp_path / "zoo")
