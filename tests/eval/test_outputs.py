"""What an evaluation leaves is whole, again and again, on any terminal and on a full disk."""

import os
import shutil
import subprocess
import sys

import keras
import pytest

import magnet_cli
from eval import oblivious
from eval.presets import PRESETS
from magnet_tf import zoo
from tests.fuzz.work import TINY

FLAGS = [
    *("--dataset=digits", "--variants=D", "--attacks=cw", "--confidences=0"),
    *("--num_examples=2", "--preset=tiny", "--output_dir=run"),
]


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    monkeypatch.setitem(PRESETS, "tiny", TINY)


def run(folder, models_dir="zoo", *more: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        magnet_cli.main(
            oblivious.COMMAND, [*FLAGS, f"--models_dir={models_dir}", *more]
        )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a finished evaluation in `run`, not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "tiny", TINY)
        run(folder)
    return folder


def test_outputs_that_are_missing_empty_or_altered_are_made_again(
    finished, tmp_path, capsys
):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    directory = tmp_path / "run"
    before = {
        p.name: p.read_bytes() for p in directory.iterdir() if p.suffix and p.is_file()
    }
    defended = directory / "defended_D.keras"
    assert {"report.md", "results.json", "results.csv", "asr.png"} <= before.keys()
    defended.write_bytes(defended.read_bytes()[:-1])
    for name, spoil in (
        ("report.md", lambda of: of + b"altered"),
        ("results.json", lambda of: of[: len(of) // 2]),
        ("results.csv", lambda of: b""),
        ("asr.png", lambda of: b""),
        ("marks_D.png", lambda of: of[:-1]),
        ("accuracy_D.png", None),
        ("worst_case.json", None),
    ):
        (directory / name).unlink()
        if spoil:
            (directory / name).write_bytes(spoil(before[name]))
    run(tmp_path)
    assert "1 made" in capsys.readouterr().out  # the note on the defence
    for name, content in before.items():
        if name != defended.name:  # whose archive holds the time
            assert (directory / name).read_bytes() == content, name
    assert keras.saving.load_model(defended).thresholds

    for spoil in (defended.unlink, lambda: defended.write_bytes(b"")):
        spoil()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("eval.publication.figures.write", lambda *_: None)
            run(tmp_path)
        assert keras.saving.load_model(defended).thresholds


def test_a_classifier_of_somebody_elses_stays(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own/classifier.keras").write_bytes(b"mine")
    with pytest.raises(SystemExit, match=r"classifier\.keras has no card"):
        run(tmp_path, "own")
    assert (tmp_path / "own/classifier.keras").read_bytes() == b"mine"
    assert [file.name for file in (tmp_path / "own").iterdir()] == ["classifier.keras"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("autoencoder_II", r"trained with structure \[3\], not \[3, 'average', 3\]"),
        ("classifier", r"trained with structure None, not"),
    ],
)
def test_a_model_under_anothers_name_is_refused(source, message, tmp_path):
    """With its card, and so in itself whole."""
    models = tmp_path / "models"
    shutil.copytree(zoo.ROOT / "digits", models)
    for suffix in (".keras", ".json"):
        shutil.copy(models / f"{source}{suffix}", models / f"autoencoder_I{suffix}")
    with pytest.raises(SystemExit, match=message):
        run(tmp_path, "models")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace('"epochs"', '"epoch"'), "does not match its digest"),
        (
            lambda text: text.replace('"test_accuracy": 0.9', '"test_accuracy": 0.8'),
            "dig",
        ),
        (lambda text: text[:40], "is not JSON"),
    ],
)
def test_a_damaged_card_is_named_before_any_work(
    damage, message, tmp_path, monkeypatch
):
    shutil.copytree(zoo.ROOT / "digits", tmp_path / "zoo/digits")
    monkeypatch.setattr(zoo, "ROOT", tmp_path / "zoo")
    card = tmp_path / "zoo/digits/classifier.json"
    card.write_text(damage(card.read_text()))
    with pytest.raises(SystemExit, match=rf"classifier\.json is damaged: .*{message}"):
        run(tmp_path)
    assert not (tmp_path / "run").exists()


SMALL_EVALUATION = """
import sys
import magnet_cli
from eval import oblivious
from eval.presets import PRESETS
from tests.fuzz.work import TINY
PRESETS["tiny"] = TINY
magnet_cli.main(oblivious.COMMAND, sys.argv[1:])
"""


@pytest.mark.slow
def test_any_locale(tmp_path):
    """A whole evaluation where the locale is ASCII and the terminal cp1252."""
    flags = [*FLAGS, "--models_dir=zoo", "--attacks=ead"]
    command = [sys.executable, "-X", "utf8=0", "-c", SMALL_EVALUATION, *flags]
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG"))},
        "LC_ALL": "C",
        "PYTHONIOENCODING": "cp1252",
        "PYTHONCOERCECLOCALE": "0",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    environment.pop("PYTHONUTF8", None)
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, check=False
    )
    assert ran.returncode == 0, ran.stderr.decode("cp1252")
    assert b"have everything" in ran.stdout
    report = (tmp_path / "run/report.md").read_text(encoding="utf-8")
    assert "β" in report or "κ" in report


def test_a_disk_that_fills_ends_in_a_sentence(small_disk):
    """Whatever was being written then: nothing torn stands at a file's own name."""
    with pytest.raises(SystemExit, match="could not be written .*make room"):
        run(small_disk)
    left = [path for path in (small_disk / "run").rglob("*") if path.is_file()]
    assert left and not [path for path in left if path.name.startswith("partial-")]
    assert not (small_disk / "run/report.md").exists()
