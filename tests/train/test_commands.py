"""What the training commands make of their flags."""

import subprocess
import sys

import numpy as np
import pytest

import magnet_cli
from magnet_tf import cards, datasets
from train import autoencoder, classifier, options, pack, zoo
from train.errors import TrainingError

RANDOM = np.random.RandomState(0)


def split(count: int) -> datasets.Split:
    images = RANDOM.uniform(size=(count, 27, 31, 1)).astype(np.float32)
    return datasets.Split(images, np.arange(count) % 2)


ODD = datasets.Dataset("odd", split(12), split(4), split(4), num_classes=2)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """An empty working folder, and a dataset of a few images of 27x31 pixels."""
    monkeypatch.setattr(datasets, "load", lambda name: ODD)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_classifier(here, capsys):
    magnet_cli.main(classifier.COMMAND, ["--epochs=1", "--recipe=short", "--seed=3"])
    card = cards.load(here / "models/odd/classifier.keras").card
    assert (card["epochs"], card["seed"], card["peak_rate"]) == (1, 3, 1e-3)
    assert card["command"] == (
        "python -m train.classifier --epochs=1 --recipe=short --seed=3"
    )
    said = capsys.readouterr().out
    assert f"test accuracy {card['test_accuracy']:.4g}" in said
    assert "models/odd/classifier.json" in said


@pytest.mark.parametrize(
    ("flags", "file", "structure", "noise"),
    [
        ([], "models/odd/autoencoder_I", [3, "average", 3], 0.1),
        (["--name=II", "--output=it.keras"], "it", [3], 0.1),
        (
            ["--structure=2,max", "--noise=0.3"],
            "models/odd/autoencoder_2_max",
            [2, "max"],
            0.3,
        ),
    ],
)
def test_an_autoencoder_of_odd_images(flags, file, structure, noise, here):
    magnet_cli.main(autoencoder.COMMAND, ["--epochs=1", *flags])
    trained = cards.load(here / f"{file}.keras", structure=structure, noise=noise)
    assert trained.model.output_shape == (None, 27, 31, 1)


def test_a_pack(here):
    flags = ["--epochs=1", "--count=2", "--structure=2", "--alpha=0.4", "--recipe=fork"]
    magnet_cli.main(pack.COMMAND, flags)
    trained = cards.load(here / "models/odd/pack_2.keras", epochs=1, alpha=0.4)
    assert len(trained.model.autoencoders) == 2
    assert trained.card["alone"]["epochs"] == 3


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--name=III"], r"odd has no autoencoder 'III'; .* \['I', 'I-256', 'II'"),
        (["--name=I", "--structure=3"], "--name and --structure: give one of them"),
        (["--noise=0.2"], "--noise is of a --structure"),
        (["--structure=3", "--noise=nan"], "deviation must be a number of at least 0"),
        (["--structure=3", "--noise=inf"], "deviation must be a number of at least 0"),
        (["--structure=100000000"], "100000000 is neither a number of filters"),
        (["--structure=3,mean"], "'mean' is neither a number of filters"),
        (["--structure=²"], "'²' is neither a number of filters"),
        (["--structure=max,max,max,max,max"], "leaves nothing of 27x31 pixels"),
        (["--output=it.h5"], r"it\.h5: a model's file is called <name>\.keras"),
        (["--output=."], r"a model's file is called <name>\.keras"),
        (["--output="], "--output has an empty value"),
        (["--structure="], "--structure has an empty value"),
        (["--seed=99999999999"], "--seed=99999999999"),
        (["--epochs=0"], "--epochs=0"),
        (["II"], "'II' belongs to no flag"),
    ],
)
def test_what_is_refused_before_any_training(flags, said, here):
    with pytest.raises(SystemExit, match=rf"^train\.autoencoder: .*{said}"):
        magnet_cli.main(autoencoder.COMMAND, flags)
    assert not [file for file in here.rglob("*") if file.is_file()]


def test_a_weight_that_is_no_number(here):
    with pytest.raises(SystemExit, match=r"^train\.pack: alpha must be a number"):
        magnet_cli.main(pack.COMMAND, ["--alpha=nan"])
    assert not list(here.iterdir())


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file.*first.keras"),
        (b"", "first.keras is not a .keras file"),
        (b"damaged", "first.keras is not a .keras file"),
    ],
)
def test_a_start_that_cannot_be_loaded(content, said, here):
    if content is not None:
        (here / "first.keras").write_bytes(content)
    with pytest.raises(SystemExit, match=rf"^train\.classifier: .*{said}"):
        magnet_cli.main(classifier.COMMAND, ["--start=first.keras", "--epochs=1"])
    assert not [file for file in here.rglob("*") if file.suffix == ".json"]


def test_a_file_of_the_users_own_stays(here):
    (here / "mine.keras").write_bytes(b"mine")
    with pytest.raises(SystemExit, match=r"mine\.keras has no card"):
        magnet_cli.main(autoencoder.COMMAND, ["--output=mine.keras", "--epochs=1"])
    assert (here / "mine.keras").read_bytes() == b"mine"


def test_a_zoo_without_models():
    with pytest.raises(SystemExit, match=r"models/digits holds no finished classifier"):
        magnet_cli.main(zoo.COMMAND, [])


def test_no_number_of_the_flags_is_anothers():
    args = magnet_cli.parsed(autoencoder.COMMAND, ["--structure=3"])
    assert options.chosen(args, ODD)[1].noise == 0.1
    with pytest.raises(TrainingError):
        options.chosen(magnet_cli.parsed(autoencoder.COMMAND, ["--noise=0"]), ODD)


@pytest.mark.parametrize("name", ["classifier", "autoencoder", "pack", "zoo"])
def test_help_needs_no_tensorflow(name):
    code = (
        f"import sys, magnet_cli, train.{name} as it; "
        "magnet_cli.main(it.COMMAND, ['--help']); "
        "assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert b"--dataset" in ran.stdout
