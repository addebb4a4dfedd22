"""Data and models of a user's own, of other shapes, through the whole path."""

import json
import re
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import magnet_cli
from eval import oblivious, publication
from eval.presets import PRESETS, Preset
from magnet_tf import MagNet, datasets, saved
from tests import command_line

TINY = Preset(
    num_examples=6,
    confidences={"mnist": (0,), "cifar10": (0,)},
    betas=(0.05,),
    search={
        "learning_rate": 0.1,
        "max_iterations": 10,
        "binary_search_steps": 2,
        "initial_const": 10.0,
        "search": "exact",
    },
    training_steps=20,
)


def made_up(shape: tuple[int, int, int], num_classes: int) -> datasets.Dataset:
    """Noise with a bright patch whose place on a 5 by 4 grid is the label."""
    random = np.random.RandomState(0)
    height, width = shape[0] // 5, shape[1] // 4

    def split(count: int) -> datasets.Split:
        labels = random.randint(0, num_classes, count)
        images = random.uniform(0, 0.3, (count, *shape)).astype(np.float32)
        for image, label in zip(images, labels, strict=True):
            top, left = label // 4 * height, label % 4 * width
            image[top : top + height, left : left + width] += 0.6
        return datasets.Split(images, labels)

    return datasets.Dataset("made_up", split(200), split(40), split(40), num_classes)


def run(directory, figures: bool = False, **changes) -> list[dict]:
    """The command, in this process, and whether it draws; its rows."""
    args = {
        "dataset": "made_up",
        "preset": "tiny",
        "output_dir": directory,
        **changes,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", TINY)
        if not figures:
            patch.setattr(publication.figures, "write", lambda *_: None)
        magnet_cli.main(oblivious.COMMAND, command_line.of(**args))
    return json.loads((directory / "results.json").read_text())


@pytest.fixture(scope="module", params=[((28, 28, 1), 10), ((48, 48, 3), 20)])
def finished(request, tmp_path_factory):
    """A user's classifier, ending in softmax, evaluated behind the published variants."""
    shape, num_classes = request.param
    folder = tmp_path_factory.mktemp("own")
    data = made_up(shape, num_classes)
    keras.utils.set_random_seed(0)
    classifier = keras.Sequential(
        [
            layers.Input(shape),
            layers.AveragePooling2D(shape[0] // 14),
            layers.BatchNormalization(momentum=0.5),
            layers.Flatten(),
            layers.Dense(num_classes, activation="softmax"),
        ]
    )
    classifier.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    classifier.fit(*data.train, epochs=15, verbose=0)
    classifier.save(folder / "classifier.keras")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "load", lambda name: data)
        rows = run(folder / "results", classifier=str(folder / "classifier.keras"))
        yield folder, data, rows


def test_it_is_evaluated(finished):
    _, data, rows = finished
    variants = {"D", "D+JSD"} if data.test.images.shape[-1] == 1 else {"D"}
    assert {row["variant"] for row in rows} == variants
    assert len(rows) == 3 * len(variants)  # C&W, EAD under two rules
    for row in rows:
        assert row["success_undefended"] > 0.5
        assert row["clean_accuracy_none"] > 0.9


def test_the_saved_defence_goes_through_the_same_evaluation(finished):
    folder, _, rows = finished
    again = run(folder / "again", defence=str(folder / "results/defended_D.keras"))
    assert {row["variant"] for row in again} == {"defended_D"}
    expected = [
        {**row, "variant": "defended_D"} for row in rows if row["variant"] == "D"
    ]
    assert again == expected


def test_it_is_served(finished, tmp_path):
    folder, data, _ = finished
    magnet = saved.load_defence(folder / "results/defended_D.keras")
    magnet.export(tmp_path / "exported")
    serve = tf.saved_model.load(tmp_path / "exported").signatures["serving_default"]
    images = data.test.images[:7]
    np.testing.assert_allclose(
        serve(images=tf.constant(images))["logits"],
        magnet.judge(images).logits,
        atol=1e-4,
    )


def test_a_classifier_for_other_images_is_refused(finished):
    folder, data, _ = finished
    other = made_up((20, 16, data.test.images.shape[-1]), data.num_classes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "load", lambda name: other)
        with pytest.raises(SystemExit, match="the classifier takes images of shape"):
            run(folder / "other", classifier=str(folder / "classifier.keras"))


def test_a_defence_without_detectors(finished):
    folder, data, rows = finished
    magnet = saved.load_defence(folder / "results/defended_D.keras")
    reforming = MagNet(magnet.classifier, magnet.reformer, {})
    reforming.calibrate(data.validation.images, {})
    reforming.save(folder / "reforming.keras")
    defence = str(folder / "reforming.keras")
    own = run(folder / "reforming", figures=True, defence=defence)
    reformed = [row["accuracy_reformer"] for row in rows if row["variant"] == "D"]
    assert [row["accuracy_both"] for row in own] == pytest.approx(reformed)
    assert (folder / "reforming/report.md").exists()
    assert (folder / "reforming/asr.png").exists()
    assert not list((folder / "reforming").glob("roc_*"))


def test_what_an_edited_module_made_is_made_again(
    finished, tmp_path, monkeypatch, capsys
):
    folder, _, _ = finished
    module = tmp_path / "edited_module.py"
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "edited_module", raising=False)
    settings = {
        "defence": str(folder / "results/defended_D.keras"),
        "modules": ["edited_module"],
    }
    made = []
    for content in ("ONE = 1", "ONE = 1", "ONE = 2"):
        module.write_text(content)
        run(folder / "edited", **settings)
        made.append(re.search(r"(\d+) made", capsys.readouterr().out)[1])
    assert made == ["7", "0", "6"]  # all but the choice of images


@pytest.mark.parametrize("shape", [(13, 11), (13 * 11,)])
def test_a_classifier_of_images_without_channels_is_refused(shape, finished):
    folder, _, _ = finished
    classifier = keras.Sequential(
        [keras.layers.Input(shape), keras.layers.Flatten(), keras.layers.Dense(4)]
    )
    classifier.save(folder / "flat.keras")
    with pytest.raises(SystemExit, match="the classifier takes images of shape"):
        run(folder / "flat", classifier=str(folder / "flat.keras"))


def test_a_wrong_path_does_not_claim_the_directory(finished):
    folder, _, _ = finished
    with pytest.raises(SystemExit, match="does not exist"):
        run(folder / "unclaimed", classifier=str(folder / "clasifier.keras"))
    assert not (folder / "unclaimed").exists()
