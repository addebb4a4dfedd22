"""Filling the zoo, from the zoo's own models of the digits."""

import shutil

import pytest

from magnet_tf import zoo as filled
from train import zoo

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
    assert zoo.fill("digits", models, tmp_path / "zoo" / "digits") == ["D", "D+JSD"]
    thresholds = filled.load("digits", "D").thresholds
    monkeypatch.setattr(filled, "ROOT", tmp_path / "zoo")
    assert filled.entries() == [("digits", "D"), ("digits", "D+JSD")]
    assert filled.load("digits", "D").thresholds == pytest.approx(thresholds)


def test_what_is_there_already_stays_and_what_is_new_replaces_it(models, tmp_path):
    (target := tmp_path / "zoo").mkdir()
    for name in MODELS[:2]:
        zoo.copy(models / f"{name}.keras", target, "digits")
    first = {path.name: path.read_bytes() for path in target.iterdir()}
    for name in MODELS[:2]:
        zoo.copy(models / f"{name}.keras", target, "digits")
    assert {path.name: path.read_bytes() for path in target.iterdir()} == first
    card = models / "autoencoder_I.json"
    card.write_text(card.read_text().replace('"seed": 0', '"seed": 1'))
    zoo.copy(models / "autoencoder_I.keras", target, "digits")
    assert '"seed": 1' in (target / "autoencoder_I.json").read_text()
    assert (target / "classifier.keras").read_bytes() == first["classifier.keras"]


def test_no_classifier(tmp_path):
    with pytest.raises(ValueError, match="holds no finished classifier.keras"):
        zoo.fill("digits", tmp_path / "none", tmp_path / "zoo")
