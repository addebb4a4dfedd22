"""Images of a user's own, as a file and as a folder, through the commands."""

import dataclasses
import json

import numpy as np
import PIL.Image
import pytest

import magnet_cli
from eval import oblivious, publication
from eval.presets import PRESETS
from magnet_tf import datasets
from tests import command_line
from tests.eval.test_own_data import TINY
from train import autoencoder, classifier, recipes


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A small evaluation that draws no figures, of models that learn in a few steps."""
    monkeypatch.setitem(PRESETS, "tiny", TINY)
    recipe = dataclasses.replace(
        recipes.SHORT_CLASSIFIER["cifar10"],
        batch_size=16,
        augment=False,
        cutout=None,
        peak_rate=1e-3,
        bfloat16=False,  # the same on every machine
    )
    monkeypatch.setitem(recipes.SHORT_CLASSIFIER, "cifar10", recipe)
    monkeypatch.setattr(publication.figures, "write", lambda *_: None)


def drawn(count: int, shape: tuple[int, ...], num_classes: int):
    """8-bit noise with a band of brightness whose place is the label."""
    random = np.random.default_rng(0)
    labels = np.arange(count) % num_classes
    images = random.integers(0, 80, (count, *shape), dtype=np.uint8)
    band = shape[0] // num_classes
    for image, label in zip(images, labels):
        image[label * band : (label + 1) * band] += 150
    return images, labels


def colours(folder) -> str:
    """An .npz of 32x32x3 and five classes."""
    x, y = drawn(150, (32, 32, 3), 5)
    path = folder / "meine Bilder.npz"
    np.savez(path, x_train=x[:110], y_train=y[:110], x_test=x[110:], y_test=y[110:])
    return str(path)


def greys(folder) -> str:
    """A folder of PNGs of 27x31 and three classes."""
    for index, (image, label) in enumerate(zip(*drawn(120, (27, 31), 3))):
        path = folder / "own/grün" / "abc"[label] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(image).save(path)
    return str(folder / "own/grün")


@pytest.mark.parametrize(
    ("make", "name", "epochs", "least"),
    [
        pytest.param(colours, "meine_Bilder", 3, 0.4, marks=pytest.mark.slow),
        (greys, "grun", 12, 0.9),
    ],
)
def test_train_calibrate_evaluate(make, name, epochs, least, tmp_path, monkeypatch):
    """In three commands; the rest of the models is trained on the way."""
    monkeypatch.chdir(tmp_path)
    data = make(tmp_path)
    training = {"dataset": data, "recipe": "short", "epochs": epochs}
    magnet_cli.main(classifier.COMMAND, command_line.of(**training))
    magnet_cli.main(autoencoder.COMMAND, command_line.of(**training))
    models = f"models/{name}"
    args = {"dataset": data, "models_dir": models, "preset": "tiny", "variants": "D"}
    magnet_cli.main(oblivious.COMMAND, command_line.of(**args))
    rows = json.loads((tmp_path / f"runs/{name}-tiny/results.json").read_text("utf-8"))
    assert len(rows) == 3 and {row["dataset"] for row in rows} == {name}
    for row in rows:
        assert row["clean_accuracy_none"] >= least
    card = json.loads((tmp_path / models / "classifier.json").read_text("utf-8"))
    assert card["dataset"] == datasets.load(data).identity

    # Other data of that name: neither these models nor these results are its
    other = tmp_path / "other" / f"{name}.npz"
    other.parent.mkdir()
    x, y = drawn(150, datasets.load(data).image_shape, 3)
    np.savez(other, x_train=x[:99], y_train=y[:99], x_test=x[99:], y_test=y[99:])
    args["dataset"] = str(other)
    with pytest.raises(SystemExit, match=rf"other settings \(dataset: {name} "):
        magnet_cli.main(oblivious.COMMAND, command_line.of(**args))
    args["output_dir"] = "results"
    with pytest.raises(SystemExit, match=f"trained with dataset '{name} "):
        magnet_cli.main(oblivious.COMMAND, command_line.of(**args))


def test_the_zoo_has_nothing_for_data_of_ones_own(tmp_path, monkeypatch):
    """Not even where its name and the size of its images are MNIST's."""
    x, y = drawn(60, (28, 28), 10)
    path = tmp_path / "mnist.npz"
    np.savez(path, x_train=x[:40], y_train=y[:40], x_test=x[40:], y_test=y[40:])
    args = command_line.of(dataset=path, models_dir="zoo", num_examples=4)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="mnist.npz is data of your own"):
        magnet_cli.main(oblivious.COMMAND, args)
    assert not (tmp_path / "runs").exists()


def test_the_sample_is_judged_by_mnists_models(tmp_path):
    args = {"dataset": "mnist_sample", "preset": "tiny", "output_dir": tmp_path}
    magnet_cli.main(
        oblivious.COMMAND, command_line.of(**args, models_dir="zoo", variants="D")
    )
    rows = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert all(row["clean_accuracy_none"] > 0.99 for row in rows)


def test_nothing_is_trained_on_the_sample(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="no images to train on.* 'mnist' or 'digits'"):
        magnet_cli.main(classifier.COMMAND, ["--dataset=mnist_sample"])
    with pytest.raises(SystemExit, match="no images to train on.* 'mnist' or 'digits'"):
        magnet_cli.main(oblivious.COMMAND, ["--models_dir=elsewhere"])
    assert not list(tmp_path.rglob("*.keras"))
