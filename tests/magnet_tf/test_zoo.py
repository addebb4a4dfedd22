"""The zoo's entries are what their cards say, and damage is named."""

import json
import shutil

import numpy as np
import pytest

from magnet_tf import datasets, zoo
from magnet_tf.arrays import in_batches


def measured(name: str, variant: str, test: datasets.Split) -> tuple[float, float]:
    """Accuracy on clean images without and with the defence."""
    magnet = zoo.load(name, variant)
    verdict = magnet.judge(test.images)
    right = verdict.logits.argmax(axis=1) == test.labels
    undefended = in_batches(magnet.classifier, test.images).argmax(axis=1)
    return np.mean(undefended == test.labels), np.mean(right & verdict.passed)


def card(name: str, variant: str) -> dict:
    return json.loads((zoo.ROOT / name / f"{variant}.json").read_text())


@pytest.mark.parametrize("variant", ["D", "D+JSD"])
def test_digits_are_as_the_card_says(variant):
    none, both = measured("digits", variant, datasets.load("digits").test)
    expected = card("digits", variant)
    assert none == pytest.approx(expected["test_accuracy_none"], abs=1e-3)
    assert both == pytest.approx(expected["test_accuracy_both"], abs=1e-3)


@pytest.mark.slow
def test_mnist_is_as_the_card_says(mnist):
    none, both = measured("mnist", "D", mnist.test)
    expected = card("mnist", "D")
    assert none == pytest.approx(expected["test_accuracy_none"], abs=1e-3)
    assert both == pytest.approx(expected["test_accuracy_both"], abs=1e-3)


def test_every_entry_loads_calibrated():
    assert ("mnist", "D") in zoo.entries()
    for name, variant in zoo.entries():
        assert zoo.load(name, variant).thresholds == pytest.approx(
            card(name, variant)["thresholds"]
        )


def test_variants_that_are_loaded_together_share_their_models():
    magnets = zoo.load_each("digits", ["D", "D+JSD"])
    assert magnets["D"].classifier is magnets["D+JSD"].classifier
    models = [magnet.detectors["II"].autoencoder for magnet in magnets.values()]
    assert models[0] is models[1]
    for variant, magnet in magnets.items():
        assert magnet.thresholds == zoo.load("digits", variant).thresholds


def test_an_unknown_entry_is_answered_with_those_there_are():
    with pytest.raises(zoo.ZooError, match=r"no MagNet 'E' for 'mnist'.*'D\+JSD'"):
        zoo.load("mnist", "E")


@pytest.mark.parametrize("name", ["classifier", "autoencoder_I", ".", "../mnist/D"])
def test_what_is_no_variant_is_no_entry(name):
    with pytest.raises(zoo.ZooError, match="no MagNet"):
        zoo.load("digits", name)


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the zoo, to be damaged."""
    shutil.copytree(zoo.ROOT / "digits", tmp_path / "digits")
    monkeypatch.setattr(zoo, "ROOT", tmp_path)
    return tmp_path / "digits"


def load_names(file: str) -> None:
    """Loading names a file, says what to do and leaves every file where it is."""
    before = sorted(path.name for path in (zoo.ROOT / "digits").iterdir())
    with pytest.raises(zoo.ZooError, match=rf"{file}.*Install the package again"):
        zoo.load("digits", "D")
    assert sorted(path.name for path in (zoo.ROOT / "digits").iterdir()) == before


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"thresholds": {}}'])
@pytest.mark.parametrize("name", ["D.json", "classifier.json"])
def test_a_damaged_card_is_named(name, content, copied):
    (copied / name).write_text(content)
    load_names(name)


def test_other_thresholds_are_damage(copied):
    card = json.loads((copied / "D.json").read_text())
    card["thresholds"]["I"] *= 2
    (copied / "D.json").write_text(json.dumps(card))
    load_names("D.json is damaged")


@pytest.mark.parametrize("name", ["classifier.keras", "autoencoder_II.json"])
def test_a_missing_file_is_named(name, copied):
    (copied / name).unlink()
    load_names(name)


def test_models_that_the_thresholds_do_not_belong_to(copied):
    for suffix in (".keras", ".json"):
        shutil.copy(
            copied / f"autoencoder_I{suffix}", copied / f"autoencoder_II{suffix}"
        )
    load_names("autoencoder_II.keras is damaged")


def test_a_damaged_file_is_named(copied):
    path = copied / "autoencoder_II.keras"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    load_names("autoencoder_II.keras is damaged")
