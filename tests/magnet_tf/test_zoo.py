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


def test_an_unknown_entry_is_answered_with_those_there_are():
    with pytest.raises(zoo.ZooError, match=r"no MagNet 'E' for 'mnist'.*'D\+JSD'"):
        zoo.load("mnist", "E")


def test_a_damaged_file_is_named(tmp_path, monkeypatch):
    shutil.copytree(zoo.ROOT, tmp_path / "zoo")
    monkeypatch.setattr(zoo, "ROOT", tmp_path / "zoo")
    path = tmp_path / "zoo/digits/autoencoder_II.keras"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(zoo.ZooError, match=r"autoencoder_II\.keras is damaged"):
        zoo.load("digits", "D")
