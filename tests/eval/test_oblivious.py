"""The oblivious evaluation from end to end, on the digits with a small classifier."""

import dataclasses
import itertools
import json
import re
import shutil
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers
from scipy.spatial.distance import jensenshannon
from scipy.special import softmax

import magnet_cli
import magnet_tf
from eval import grid, oblivious, publication, work
from eval.presets import PRESETS, Preset
from eval.store import Store
from magnet_tf import cards, classifiers, datasets, zoo
from magnet_tf.arrays import in_batches
from tests import command_line

COUNT = 6
# the choice; 4 runs in 2 parts; by variant, verdicts and what was saved
FILES = 1 + 4 * 2 + 2 * (1 + 6) + 2
KEYS = [
    *("dataset", "variant", "attack", "rule", "beta", "confidence", "num_examples"),
    *("success_undefended", "accuracy_none", "accuracy_detector", "accuracy_reformer"),
    *("accuracy_both", "asr", "asr_low", "asr_high", "mean_l1", "mean_l2", "mean_linf"),
    *("clean_accuracy_none", "clean_accuracy_both", "seed", "parameter", "value"),
]
TINY = Preset(
    num_examples=COUNT,
    confidences={"mnist": (0, 5), "digits": (0, 5), "cifar10": (0,)},
    betas=(0.05,),
    search={
        "learning_rate": 0.1,
        "max_iterations": 15,
        "binary_search_steps": 2,
        "initial_const": 3.0,
        "search": "exact",
    },
    training_steps=400,
)


def small_classifier(shape, num_classes):
    """In the place of MNIST's: as good in seconds as these tests need."""
    return keras.Sequential(
        [
            layers.Input(shape),
            layers.AveragePooling2D(4),
            layers.Flatten(),
            layers.Dense(32, activation="relu"),
            layers.Dense(num_classes),
        ]
    )


@pytest.fixture(scope="module", autouse=True)
def tiny():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(classifiers.PUBLISHED, "digits", small_classifier)
        patch.setitem(PRESETS, "tiny", TINY)
        patch.setattr(work, "CHUNK", 4)
        yield


def run(directory, **changes) -> None:
    """The command, in this process; figures are for `test_figures`."""
    args = {
        "dataset": "digits",
        "variants": ["D", "D+JSD"],
        "preset": "tiny",
        "output_dir": directory,
        "search": "exact",
        **changes,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publication.figures, "write", lambda *_: None)
        magnet_cli.main(oblivious.COMMAND, command_line.of(**args))


def results(directory) -> list[dict]:
    return json.loads((directory / "results.json").read_text())


def counts(text: str) -> tuple[int, int]:
    """How many files a run says that it reused and made."""
    (found,) = re.findall(r": (\d+) files reused, (\d+) made", text)
    return int(found[0]), int(found[1])


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The directory of a finished evaluation, not to be changed."""
    directory = tmp_path_factory.mktemp("finished") / "run"
    run(directory)
    return directory


@pytest.fixture
def copied(finished, tmp_path):
    """A directory of that evaluation's, to be changed."""
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


# Results


def test_rows_are_the_contracts(finished):
    rows = results(finished)
    for row in rows:
        assert list(row) == KEYS
    attacks = [("cw", "L2", None), ("ead", "EN", 0.05), ("ead", "L1", 0.05)]
    expected = itertools.product(("D", "D+JSD"), attacks, (0, 5))
    found = [
        (row["variant"], (row["attack"], row["rule"], row["beta"]), row["confidence"])
        for row in rows
    ]
    assert found == list(expected)
    for row in rows:
        assert (row["dataset"], row["num_examples"], row["seed"]) == ("digits", 6, 0)
        assert row["asr"] == pytest.approx(1 - row["accuracy_both"])
        assert 0 <= row["asr_low"] <= row["asr"] <= row["asr_high"] <= 1
    assert any(0 < row["asr"] < 1 for row in rows)
    assert any(0 < row["success_undefended"] < 1 for row in rows)


def load_model(directory, name):
    return keras.saving.load_model(directory / "models" / f"{name}.keras")


def examples_of(directory, name: str, rule: str) -> dict[str, np.ndarray]:
    """A run's examples and their norms, as stored in parts."""
    parts = [
        np.load(path) for path in sorted((directory / "attacks").glob(f"{name}-0*.npz"))
    ]
    assert [len(part[f"{rule}/success"]) for part in parts] == [3, 3]
    keys = [key for key in parts[0] if key.startswith(f"{rule}/")]
    return {key[3:]: np.concatenate([part[key] for part in parts]) for key in keys}


@pytest.fixture(scope="module")
def attacked(finished):
    """The images that were attacked, and their labels."""
    with np.load(finished / "examples.npz") as archive:
        chosen = archive["order"][:COUNT]
    test = datasets.load("digits").test
    return datasets.Split(test.images[chosen], test.labels[chosen])


RUNS = [
    (grid.Run(attack, kappa, beta).name, rule, kappa)
    for attack, rule, beta in (("cw", "L2", None), ("ead", "EN", 0.05))
    for kappa in (0, 5)
] + [("ead-beta0.05-kappa5", "L1", 5)]


def test_attacked_are_test_images_that_the_classifier_gets_right(finished, attacked):
    logits = in_batches(load_model(finished, "classifier"), attacked.images)
    np.testing.assert_array_equal(logits.argmax(axis=1), attacked.labels)
    assert len(np.unique(attacked.images.reshape(COUNT, -1), axis=0)) == COUNT


@pytest.mark.parametrize(("name", "rule", "kappa"), RUNS)
def test_examples_fool_the_undefended_classifier(name, rule, kappa, finished, attacked):
    """By a margin of kappa, in the box, and as far away as is said."""
    found = examples_of(finished, name, rule)
    adversarial, success = found["adversarial"], found["success"]
    logits = in_batches(load_model(finished, "classifier"), adversarial)
    label = logits[np.arange(COUNT), attacked.labels].copy()
    logits[np.arange(COUNT), attacked.labels] = -np.inf
    np.testing.assert_array_less(kappa - 1e-3, (logits.max(axis=1) - label)[success])
    assert adversarial.min() >= 0 and adversarial.max() <= 1 and success.any()
    np.testing.assert_array_equal(adversarial[~success], attacked.images[~success])
    change = np.float64(adversarial - attacked.images).reshape(COUNT, -1)
    for order, key in ((1, "l1"), (2, "l2"), (np.inf, "linf")):
        norm = np.linalg.norm(change, order, axis=1)
        np.testing.assert_allclose(found[key], norm, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("variant", ["D", "D+JSD"])
def test_rows_are_what_the_models_say_in_numpy(variant, finished, attacked):
    """MagNet computed anew from its models' outputs, as the papers define it."""
    classify = load_model(finished, "classifier")
    autoencoders = [load_model(finished, f"autoencoder_{name}") for name in ("I", "II")]

    def judge(x):
        """Logits of the images and of the healed ones, and the marks."""
        one, two = (in_batches(model, x).astype(np.float64) for model in autoencoders)
        healed = np.clip(one, 0, 1).astype(np.float32)
        logits = [in_batches(classify, i).astype(np.float64) for i in (x, healed)]
        marks = [((x - one) ** 2).mean((1, 2, 3)), np.abs(x - two).mean((1, 2, 3))]
        for t in (10, 40) if variant == "D+JSD" else ():
            marks.append(
                jensenshannon(*(softmax(i / t, 1) for i in logits), axis=1) ** 2
            )
        return *logits, np.array(marks)

    data = datasets.load("digits")
    # drop rates of 0.01 of 300 validation images: the third largest mark
    thresholds = np.sort(judge(data.validation.images)[2])[:, -3]

    def shares(split):
        logits, healed, marks = judge(split.images)
        right, right_healed = (
            i.argmax(axis=1) == split.labels for i in (logits, healed)
        )
        passed = (marks < thresholds[:, None] * (1 + 1e-5)).all(axis=0)
        return right, right_healed, passed

    rows = [row for row in results(finished) if row["variant"] == variant]
    c, r, p = shares(data.test)
    for row in rows:
        assert row["clean_accuracy_none"] == pytest.approx(c.mean())
        # rounding may decide for an image at a threshold
        assert row["clean_accuracy_both"] == pytest.approx((p & r).mean(), abs=0.006)
    by_key = {(row["attack"], row["rule"], row["confidence"]): row for row in rows}
    for name, rule, kappa in RUNS:
        row = by_key[name.split("-")[0], rule, kappa]
        found = examples_of(finished, name, rule)
        c, r, p = shares(datasets.Split(found["adversarial"], attacked.labels))
        assert row["success_undefended"] == pytest.approx(found["success"].mean())
        assert row["accuracy_none"] == pytest.approx(c.mean())
        assert row["accuracy_detector"] == pytest.approx(1 - (p & ~c).mean())
        assert row["accuracy_reformer"] == pytest.approx(r.mean())
        assert row["accuracy_both"] == pytest.approx(1 - (p & ~r).mean())
        for norm in ("l1", "l2", "linf"):
            expected = found[norm][found["success"]].mean()
            assert row[f"mean_{norm}"] == pytest.approx(expected)


def test_the_calibrated_defence_is_saved(finished, attacked):
    magnet = keras.saving.load_model(finished / "defended_D+JSD.keras")
    assert list(magnet.thresholds) == ["I", "II", "JSD10", "JSD40"]
    data = datasets.load("digits")
    marks = magnet.judge(data.validation.images).marks
    for name, threshold in magnet.thresholds.items():
        assert threshold == pytest.approx(np.sort(marks[name])[-3], rel=1e-5)
    verdict = magnet.judge(data.test.images)
    both = (verdict.passed & (verdict.logits.argmax(1) == data.test.labels)).mean()
    assert both == pytest.approx(
        results(finished)[-1]["clean_accuracy_both"], abs=0.006
    )


# Running again


def test_a_second_run_makes_nothing(copied, monkeypatch, capsys):
    def forbidden(*_, **__):
        raise AssertionError("an attack was run again")

    monkeypatch.setattr(grid, "carlini_wagner_l2", forbidden)
    monkeypatch.setattr(grid, "elastic_net", forbidden)
    before = (copied / "results.json").read_bytes()
    run(copied)
    output = capsys.readouterr().out
    assert counts(output) == (FILES, 0)
    assert "8 of 8 parts reused, 0 to craft" in output
    assert (copied / "results.json").read_bytes() == before


def test_the_primal_dual_search_sweeps_the_confidences(
    finished, tmp_path, monkeypatch, capsys
):
    """A call for each attack, beta and part; what is added leaves what is there."""
    calls = []
    for name in ("carlini_wagner_l2", "elastic_net"):
        attack = getattr(grid, name)

        def spy(*args, attack=attack, **settings):
            calls.append(settings["confidence"])
            return attack(*args, **settings)

        monkeypatch.setattr(grid, name, spy)
    swept = {"search": "primal_dual", "models_dir": str(finished / "models")}
    run(tmp_path / "run", **swept)
    assert calls == [(0.0, 5.0)] * 4
    first = results(tmp_path / "run")
    assert [row["confidence"] for row in first] == [0.0, 5.0] * 6
    assert all(row["success_undefended"] == 1 for row in first)
    assert all(a["mean_l2"] < b["mean_l2"] for a, b in zip(first[::2], first[1::2]))

    capsys.readouterr()
    run(tmp_path / "run", **swept)
    assert counts(capsys.readouterr().out) == (FILES, 0)
    assert results(tmp_path / "run") == first

    run(tmp_path / "run", **swept, confidences=["0", "5", "2"])
    # C&W begins a confidence where another ended; EAD's are each by itself
    assert calls[4:] == [(0.0, 2.0, 5.0)] * 2 + [(2.0,)] * 2
    again = results(tmp_path / "run")
    assert len(again) == 18
    assert [row for row in again if row["confidence"] != 2] == first


def test_a_sweep_without_one_of_its_files_is_made_as_it_was(finished, tmp_path):
    """As if killed between the files of what was crafted together."""
    swept = {"search": "primal_dual", "models_dir": str(finished / "models")}
    run(tmp_path / "run", **swept)
    lost = [
        tmp_path / f"run/attacks/{name}-kappa5-000.npz"
        for name in ("cw", "ead-beta0.05")
    ]
    before = []
    for path in lost:
        with np.load(path) as archive:
            before.append(dict(archive))
        path.unlink()
    run(tmp_path / "run", **swept)
    for path, arrays in zip(lost, before):
        with np.load(path) as archive:
            assert archive.keys() == arrays.keys()
            for key, value in archive.items():
                np.testing.assert_array_equal(value, arrays[key])


def test_an_interrupted_evaluation_goes_on(finished, tmp_path, monkeypatch, capsys):
    """Thrice in the middle of writing a file; then only what is missing is made."""
    savez, made = np.savez_compressed, []

    def interrupted(path, **arrays):
        if len(made) == limit:
            path.write_bytes(b"PK half a file")
            raise KeyboardInterrupt
        made.append(path)
        savez(path, **arrays)

    monkeypatch.setattr(np, "savez_compressed", interrupted)
    for limit in (0, 4, 12):  # noqa: B007 (read by interrupted)
        with pytest.raises(SystemExit, match="interrupted; the same command goes on"):
            run(tmp_path / "run", models_dir=str(finished / "models"))
    assert not (tmp_path / "run/results.json").exists()
    limit = None
    capsys.readouterr()
    run(tmp_path / "run", models_dir=str(finished / "models"))
    assert counts(capsys.readouterr().out) == (12, FILES - 12)
    # counted above: all but what each variant's reformer made of the report's examples
    assert len(set(made)) == len(made) == FILES + 2
    assert results(tmp_path / "run") == results(finished)


def test_further_confidences_reuse_the_others(finished, copied, capsys):
    run(copied, confidences=["0", "5", "2.5"])
    # 2 runs in 2 parts, and their 3 rules judged by 2 variants
    assert counts(capsys.readouterr().out) == (FILES, 4 + 6)
    rows = results(copied)
    assert [row["confidence"] for row in rows] == [0, 2.5, 5] * 6
    old = [row for row in rows if row["confidence"] != 2.5]
    assert old == results(finished)


def test_another_variant_reuses_the_attacks(finished, copied, capsys):
    shutil.rmtree(copied / "verdicts/D+JSD")
    run(copied)
    assert counts(capsys.readouterr().out) == (FILES - 7, 7)
    assert results(copied) == results(finished)


def test_fewer_of_everything_makes_nothing(finished, copied, capsys):
    run(copied, variants=["D+JSD"], attacks=["ead"], confidences=["5"])
    assert counts(capsys.readouterr().out)[1] == 0
    expected = [
        row
        for row in results(finished)
        if row["variant"] == "D+JSD" and row["attack"] == "ead" and row["confidence"]
    ]
    assert results(copied) == expected


@pytest.mark.parametrize(
    "name", ["examples", "attacks/cw-kappa5-001", "verdicts/D/ead-beta0.05-kappa0-L1"]
)
def test_a_truncated_file_is_made_again(name, finished, copied, capsys):
    path = copied / f"{name}.npz"
    truncated = path.read_bytes()[:-100]
    path.write_bytes(truncated)
    run(copied)
    output = capsys.readouterr()
    assert counts(output.out) == (FILES - 1, 1)
    assert f"{path} is damaged" in output.err
    assert path.with_name(f"{path.name}.damaged").read_bytes() == truncated
    assert results(copied) == results(finished)


def test_an_altered_model_is_trained_again(finished, copied, capsys):
    path = copied / "models/autoencoder_II.keras"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    run(copied)
    output = capsys.readouterr()
    assert f"{path} cannot be used ({path} is damaged: it is not the file" in output.err
    assert counts(output.out) == (
        FILES - 16,
        16,
    )  # all verdicts and defences hang on it
    assert results(copied) == results(finished)


def test_attacks_of_another_search_are_not_reused(copied, monkeypatch, capsys):
    """Even where the directory's settings are lost: each file carries what made it."""
    (copied / "settings.json").unlink()
    search = {**TINY.search, "max_iterations": 5}
    monkeypatch.setitem(PRESETS, "tiny", dataclasses.replace(TINY, search=search))
    run(copied)
    # what does not depend on the attacks is reused: the choice, clean verdicts, defences
    assert counts(capsys.readouterr().out) == (5, FILES - 5)


# Models


def test_what_another_version_made_is_made_again(copied, monkeypatch, capsys):
    """Its attacks may have other defaults."""
    monkeypatch.setattr(magnet_tf, "__version__", "0.0.1")
    run(copied)
    # the choice of images and the defences' own files stay
    assert counts(capsys.readouterr().out) == (1 + 2, FILES - 1 - 2)


def test_the_zoos_models(tmp_path, capsys):
    run(tmp_path / "run", models_dir="zoo", attacks=["cw"], confidences=["0"])
    assert not (tmp_path / "run/models").exists()
    card = json.loads((zoo.ROOT / "digits/D+JSD.json").read_text())
    row = results(tmp_path / "run")[-1]
    assert row["clean_accuracy_none"] == pytest.approx(card["test_accuracy_none"])
    assert row["clean_accuracy_both"] == pytest.approx(card["test_accuracy_both"])
    assert (
        "| classifier | test accuracy 0.99; `python -m "
        in (tmp_path / "run/report.md").read_text()
    )


def test_the_zoo_is_not_trained_into(tmp_path, monkeypatch):
    (tmp_path / "zoo/digits").mkdir(parents=True)
    monkeypatch.setattr(zoo, "ROOT", tmp_path / "zoo")
    message = message_of(tmp_path / "run0", models_dir="zoo")
    assert "the zoo has no MagNet 'D' for 'digits'" in message
    message = message_of(tmp_path / "run1", models_dir=tmp_path / "zoo/digits")
    assert "the zoo has no classifier for 'digits', and nothing is trained" in message


def test_a_shorter_training_than_the_presets_is_mentioned(copied, capsys):
    card = copied / "models/classifier.json"
    cards.write(card, {**cards.read(card), "epochs": 1})
    run(copied)
    assert "classifier.keras was trained for 1 epochs, this" in capsys.readouterr().out


@pytest.mark.slow
def test_several_trainings_are_judged_on_the_same_examples(finished, copied, capsys):
    run(copied, defence_seeds=2, variants=["D"])
    assert counts(capsys.readouterr().out) == (1 + 8 + 7 + 1, 7 + 1)
    rows = results(copied)
    assert {row["variant"] for row in rows} == {"D", "D-seed1"}
    own = [row for row in results(finished) if row["variant"] == "D"]
    assert [row for row in rows if row["variant"] == "D"] == own
    kept = cards.read(copied / "models/seed1/autoencoder_I.json")
    assert kept["seed"] == 1
    assert not (copied / "models/seed1/classifier.keras").exists()
    chance = json.loads((copied / "chance.json").read_text())
    assert len(chance) == len(own) and chance[0]["num_trainings"] == 2


def test_further_trainings_are_like_the_first(copied):
    """Whatever the preset; a model that was trained otherwise is refused."""
    for name in ("I", "II"):
        path = copied / f"models/autoencoder_{name}.json"
        card = cards.read(path)
        cards.write(path, {**card, "epochs": 1, "batch_size": 64})
    run(copied, defence_seeds=2, variants=["D"], attacks=["cw"])
    further = copied / "models/seed1/autoencoder_II.json"
    card = cards.read(further)
    assert (card["epochs"], card["batch_size"], card["seed"]) == (1, 64, 1)
    for key, value in (("epochs", 2), ("seed", 0)):
        cards.write(further, {**card, key: value})
        message = message_of(copied, defence_seeds=2, variants=["D"], attacks=["cw"])
        assert f"seed1/autoencoder_II.keras was trained with {key} {value}" in message


# Bad flags


def message_of(directory, **changes) -> str:
    """The one sentence that the command ends with."""
    with pytest.raises(SystemExit) as raised:
        run(directory, **changes)
    message = str(raised.value)
    assert message.startswith("eval.oblivious: ") and "\n" not in message
    return message


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"dataset": "magnet_nowhere"}, "no dataset 'magnet_nowhere'"),
        (
            {"variants": ["D", "E"]},
            "--variants: there is no 'E'; expected some of D,D+JSD",
        ),
        (
            {"attacks": ["fgsm"]},
            "--attacks: there is no 'fgsm'; expected some of cw,ead",
        ),
        ({"attacks": []}, "--attacks has an empty value"),
        ({"defence": ""}, "--defence has an empty value"),
        ({"confidences": ["0", "x"]}, "--confidences: expected numbers"),
        ({"confidences": ["0", "-1"]}, "--confidences: each must be at least 0"),
        ({"confidences": ["nan"]}, "--confidences: each must be at least 0"),
        (
            {"confidences": ["1e39"]},
            "--confidences: each must be at least 0 and within",
        ),
        ({"betas": ["inf"]}, "--betas: each must be at least 0"),
        ({"betas": ["1e300"]}, "--betas: each must be at least 0 and within float32"),
        ({"attacks": ["cw"], "betas": ["0.1"]}, "--betas is EAD's"),
        ({"momentum": "none", "search": "primal_dual"}, "--momentum is of the exact"),
        ({"momentum": "none", "attacks": ["cw"]}, "--momentum is EAD's"),
        (
            {"defence": "mine.keras"},
            "--defence=mine.keras is whole; leave out --variants",
        ),
        (
            {"defence": "mine.keras", "variants": None, "classifier": "c.keras"},
            "--defence=mine.keras is whole; leave out --classifier",
        ),
        ({"num_examples": 401}, "--num_examples=401: digits has 400 test images"),
    ],
)
def test_bad_flags(flags, message, tmp_path):
    assert message in message_of(tmp_path / "run", **flags)
    assert not (tmp_path / "run").exists()


def test_more_images_than_the_classifier_gets_right(finished, tmp_path):
    models = str(finished / "models")
    message = message_of(tmp_path / "run", num_examples=399, models_dir=models)
    assert "399 images were asked for: the classifier gets only 3" in message


def test_a_directory_of_another_run(copied):
    before = {path: path.read_bytes() for path in copied.rglob("*.*") if path.is_file()}
    message = message_of(copied, seed=1)
    assert (
        f"{copied} belongs to a run with other settings (seed: 0 there, 1 " in message
    )
    after = {path: path.read_bytes() for path in copied.rglob("*.*") if path.is_file()}
    assert after == before


def test_a_directory_in_use(tmp_path):
    store = Store(tmp_path / "run", {})
    assert f"{store.directory} is in use by another run" in message_of(store.directory)


def test_a_file_for_a_directory(tmp_path):
    (tmp_path / "run").write_text("mine")
    assert f"cannot write to {tmp_path}/run" in message_of(tmp_path / "run")
    assert (tmp_path / "run").read_text() == "mine"


def test_an_unknown_preset():
    command = [sys.executable, "-m", "eval.oblivious", "--preset=huge"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert (
        "flag --preset=huge: value should be one of <glance|paper|quick|short>"
        in ended.stderr
    )
    assert "Traceback" not in ended.stderr
