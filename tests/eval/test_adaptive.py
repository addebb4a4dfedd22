"""The adaptive evaluation from end to end, on the digits with a small classifier."""

import dataclasses
import itertools
import json

import keras
import numpy as np
import pytest

import magnet_cli
import magnet_tf
from attacks.result import measured
from eval import adaptive, engines, evaluation, grid, oblivious
from eval.knowledge import experiment, rates, report, targeted, within
from eval.knowledge.results import AdaptiveResults, Attacker, Part
from eval.metrics import wilson_interval
from eval.models import Models
from eval.presets import PRESETS
from eval.results import Results, VariantResults
from eval.subject import built
from magnet_tf import cards, classifiers, datasets, zoo
from magnet_tf.arrays import in_batches
from magnet_tf.datasets import Split
from magnet_tf.outcomes import Outcome
from tests import command_line
from tests.eval.elsewhere import Elsewhere
from tests.eval.test_oblivious import TINY, counts, results, small_classifier

COUNT = 6
RATES = (0.05,)
SEARCH = {
    "learning_rate": 0.1,
    "max_iterations": 25,
    "binary_search_steps": 3,
    "initial_const": 3.0,
    "search": "exact",
}


@pytest.fixture(scope="module", autouse=True)
def tiny():
    preset = dataclasses.replace(
        TINY,
        confidences={"digits": (0,)},
        search=SEARCH,
        training_steps=200,
        gray_autoencoders=(1, 2),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(classifiers.PUBLISHED, "digits", small_classifier)
        patch.setitem(PRESETS, "tiny", preset)
        yield


def run(directory, command=adaptive.COMMAND, **changes) -> None:
    """The command, in this process."""
    args = {
        "dataset": "digits",
        "variants": ["D"],
        "preset": "tiny",
        "output_dir": directory,
        **(
            {"rates": [str(rate) for rate in RATES]}
            if command is adaptive.COMMAND
            else {}
        ),
        **changes,
    }
    magnet_cli.main(command, command_line.of(**args))


def rows_of(directory, name: str) -> list[dict]:
    return json.loads((directory / f"{name}.json").read_text())


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The directory of a finished evaluation, not to be changed."""
    directory = tmp_path_factory.mktemp("finished") / "run"
    run(directory, targeted=True, num_targeted=3)
    return directory


@pytest.fixture(scope="module")
def magnet(finished):
    return keras.saving.load_model(finished / "defended_D.keras")


@pytest.fixture(scope="module")
def attacked(finished):
    """The images that were attacked, and their labels."""
    with np.load(finished / "examples.npz") as archive:
        return datasets.load("digits").test.at(archive["order"][:COUNT])


def stored(directory, folder: str, name: str, rule: str) -> dict[str, np.ndarray]:
    """A run's examples and what is said of them."""
    with np.load(directory / "attacks" / folder / f"{name}-000.npz") as archive:
        return {
            key.removeprefix(f"{rule}/"): archive[key]
            for key in archive.files
            if key.startswith(f"{rule}/")
        }


CASES = [
    ("cw-kappa0", "L2"),
    ("ead-beta0.05-kappa0", "EN"),
    ("ead-beta0.05-kappa0", "L1"),
]


# Results


def test_there_is_a_row_for_each_attacker_and_case(finished):
    rows = results(finished)
    who = [("oblivious", None), ("gray", 1), ("gray", 2), ("white", None)]
    attacks = [("cw", "L2"), ("ead", "EN"), ("ead", "L1")]
    expected = itertools.product(who, attacks, [0])
    assert [
        (
            (row["knowledge"], row["autoencoders"]),
            (row["attack"], row["rule"]),
            row["confidence"],
        )
        for row in rows
    ] == list(expected)


def test_rows_of_the_oblivious_attacker_are_those_of_the_oblivious_evaluation(
    finished, tmp_path
):
    models = str(finished / "models")
    run(tmp_path / "run", command=oblivious.COMMAND, models_dir=models)
    theirs = results(tmp_path / "run")
    ours = [row for row in results(finished) if row["knowledge"] == "oblivious"]
    assert [{key: row[key] for key in theirs[0]} for row in ours] == theirs


@pytest.mark.parametrize(("name", "rule"), CASES)
@pytest.mark.parametrize("folder", ["", "gray/D/1", "gray/D/2", "white/D"])
def test_a_row_counts_what_the_defence_says(
    folder, name, rule, finished, magnet, attacked
):
    """Of the images that it gets right when they are clean, and by `judge` alone."""
    knowledge = folder.split("/")[0] or "oblivious"
    own = int(folder[-1]) if knowledge == "gray" else None
    attack, kappa = name.split("-")[0], float(name[-1])
    (row,) = [
        row
        for row in results(finished)
        if (row["knowledge"], row["autoencoders"]) == (knowledge, own)
        and (row["attack"], row["rule"], row["confidence"]) == (attack, rule, kappa)
    ]
    found = stored(finished, folder, name, rule)
    clean, verdict = magnet.judge(attacked.images), magnet.judge(found["adversarial"])
    defended = clean.passed & (clean.logits.argmax(axis=1) == attacked.labels)
    past = verdict.passed & (verdict.logits.argmax(axis=1) != attacked.labels)
    assert row["num_defended"] == defended.sum() > 0
    assert row["defended_asr"] == pytest.approx(past[defended].mean())
    interval = row["defended_asr_low"], row["defended_asr_high"]
    expected = wilson_interval(past[defended].mean(), defended.sum())
    assert interval == pytest.approx(expected, abs=1e-9)
    assert row["asr"] == pytest.approx(past.mean())
    assert row["success_crafting"] == found["success"].mean()
    counted = found["success"] & defended
    if counted.any():
        assert row["defended_mean_l1"] == pytest.approx(found["l1"][counted].mean())
    if knowledge == "white":  # no success that the defence rejects or gets right
        assert past[found["success"]].all()
        assert not past[defended & ~found["success"]].any()


def test_the_gray_box_attacker_gets_past_its_own_defences(finished, attacked):
    """With thresholds at four times the drop rate, of autoencoders that are not ours."""
    found = stored(finished, "gray/D/2", "cw-kappa0", "L2")
    validation = datasets.load("digits").validation.images
    variant = magnet_tf.variants.VARIANTS["digits"]["D"]
    classifier = keras.saving.load_model(finished / "models/classifier.keras")
    past = np.ones(COUNT, bool)
    for seed in (1000, 1001):
        folder = finished / "attacker" / f"seed{seed}"
        models = {
            name: keras.saving.load_model(folder / f"autoencoder_{name}.keras")
            for name in variant.autoencoders
        }
        own = variant.build(classifier, models)
        own.calibrate(validation, {"I": 0.04, "II": 0.04})
        verdict = own.judge(found["adversarial"])
        past &= verdict.passed & (verdict.logits.argmax(axis=1) != attacked.labels)
    assert past[found["success"]].all()


def test_a_broken_defence_falls(finished, tmp_path):
    """All pass, and nothing is healed: the white-box attacker needs no more than the other."""
    classifier, autoencoder = (
        keras.saving.load_model(finished / f"models/{name}.keras")
        for name in ("classifier", "autoencoder_I")
    )
    broken = magnet_tf.MagNet(
        classifier,
        magnet_tf.IdentityReformer(),
        {"I": magnet_tf.ReconstructionDetector(autoencoder)},
    )
    broken.set_thresholds({"I": np.inf})
    broken.save(tmp_path / "broken.keras")
    run(
        tmp_path / "run",
        variants=None,
        defence=str(tmp_path / "broken.keras"),
        attacks=["cw"],
        confidences=["0"],
        search="primal_dual",
    )
    one, two = results(tmp_path / "run")
    assert (one["knowledge"], two["knowledge"]) == ("oblivious", "white")
    for row in (one, two):
        assert row["num_defended"] == COUNT
        assert row["asr"] == row["defended_asr"] == row["success_crafting"] == 1
    assert two["mean_l2"] == pytest.approx(one["mean_l2"], rel=0.02)


@pytest.mark.slow
def test_a_pack_draws_one(finished, tmp_path):
    """By its seed, unless the attacker says which; the drawn one defends, and is saved."""
    data = datasets.load("digits")
    classifier = keras.saving.load_model(finished / "models/classifier.keras")
    models = Models(tmp_path, data, "published", 40, seed=5, pack=2)
    drawn, first = built("D", classifier, models), built("D", classifier, models, 4, 0)
    drawn.magnet().save(tmp_path / "drawn.keras")
    assert drawn.settings != first.settings
    pack = cards.load(tmp_path / "pack_I.keras").model
    assert len(pack.autoencoders) == 2 and pack.seed == 5
    x = data.test.images[:16]
    loaded = keras.saving.load_model(tmp_path / "drawn.keras")
    for magnet, pick in ((loaded, pack.picked), (first.magnet(), 0)):
        expected = np.clip(in_batches(pack.autoencoders[pick], x), 0, 1)
        np.testing.assert_allclose(magnet.reformer.heal(x), expected, atol=1e-6)
    marks = loaded.judge(data.validation.images).marks["II"]
    assert loaded.thresholds["II"] == pytest.approx(np.sort(marks)[-3])


def test_the_zoos_packs_need_no_training_data():
    data = datasets.load("mnist_sample")
    specs = {"I": magnet_tf.variants.autoencoders("mnist")["I"]}
    packs = [
        Models(folder, data, "published", None, 0, pack=8).autoencoders(specs)["I"]
        for folder in (zoo.ROOT / "mnist", zoo.ROOT / "mnist" / "attacker")
    ]
    assert [len(of.model.autoencoders) for of in packs] == [8, 8]
    assert packs[0].card["seed"] != packs[1].card["seed"]
    with pytest.raises(cards.CardError, match="with count 8, not 4"):
        Models(zoo.ROOT / "mnist", data, "published", None, 0, pack=4).autoencoders(
            specs
        )


def test_worst_cases_are_of_each_attacker(finished):
    found = rows_of(finished, "worst_case")
    best = {}
    for row in results(finished):
        key = row["knowledge"], row["autoencoders"], row["attack"]
        best[key] = max(best.get(key, 0), row["defended_asr"])
    assert len(found) == 4 * 3
    for row in found:
        if row["attacks"] != "all":
            key = row["knowledge"], row["autoencoders"], row["attacks"]
            assert row["asr"] >= best[key]


def test_the_report_has_the_attackers_side_by_side(finished):
    text = (finished / "report.md").read_text()
    head = next(line for line in text.splitlines() if line.startswith("| attack "))
    for who in ("oblivious", "gray (1)", "gray (2)", "white"):
        assert f"{who}: ASR" in head
    for name in ("asr_D.png", "distances_D.png"):
        assert name in text and (finished / name).stat().st_size > 0


def test_a_white_box_attack_that_falls_short_is_warned_of():
    def worst(knowledge, asr):
        named = {"variant": "D", "attacks": "cw", "knowledge": knowledge}
        return {**named, "num_examples": 50, "asr": asr}

    assert report._weaker([worst("oblivious", 0.4), worst("white", 0.4)]) == []
    (warning,) = report._weaker([worst("oblivious", 0.4), worst("white", 0.2)])
    assert "cw on D (20 %, oblivious 40 %)" in warning
    assert report._weaker([worst("gray", 0.4), worst("white", 0.2)]) == []


@pytest.mark.slow
def test_everything_goes_through_the_engine_and_is_the_same(
    finished, tmp_path, monkeypatch
):
    """Crafting, verdicts and trainings; what travels is pickled."""
    engine = Elsewhere()
    monkeypatch.setattr(engines, "chosen", lambda _: engine)
    monkeypatch.setattr(engines.Local, "run", None)
    monkeypatch.setattr(experiment.reports, "write", lambda *_: None)
    asked = {"attacks": ["cw"], "gray_autoencoders": ["1"], "num_targeted": 3}
    run(tmp_path / "run", targeted=True, **asked)
    classifier, defence, attacker = 1, 2, 2
    assert engine.done["model"] == classifier + defence + attacker
    # each attacker; the white-box one at each rate; targets of the two that are not gray
    assert engine.done["part"] == 3 + len(RATES) + 2
    for folder in ("attacks", "verdicts"):
        paths = list((tmp_path / "run" / folder).rglob("*.npz"))
        assert paths
        for path in paths:
            theirs = np.load(finished / path.relative_to(tmp_path / "run"))
            with np.load(path) as ours:
                # models' files, and so the settings, have a date
                for key in set(ours.files) - {"settings", "digest"}:
                    np.testing.assert_array_equal(ours[key], theirs[key])


# At fixed false positive rates


@pytest.mark.parametrize("rate", RATES)
def test_success_at_a_rate_in_numpy(rate, finished, magnet, attacked):
    data = datasets.load("digits")
    clean = magnet.judge(data.validation.images).marks
    test = magnet.judge(attacked.images)
    rows = [
        row
        for row in rows_of(finished, "success_at_rates")
        if row["false_positive_rate"] == rate and row["attack"] == "cw"
    ]
    count = len(data.validation.labels)
    # the largest number dropped by each detector at which all drop no more than the rate
    for dropped in range(count):
        limits = {name: np.sort(marks)[::-1][dropped] for name, marks in clean.items()}
        rejected = np.any([clean[n] > limits[n] for n in limits], axis=0)
        if rejected.sum() > int(count * rate):
            break
        kept = limits
    for row in rows:
        if row["knowledge"] != "oblivious":
            continue
        found = stored(finished, "", f"cw-kappa{row['confidence']:g}", "L2")
        verdict = magnet.judge(found["adversarial"])

        def passes(marks, kept=kept):
            return np.all([marks[n] <= kept[n] for n in kept], axis=0)

        defended = passes(test.marks) & (test.logits.argmax(1) == attacked.labels)
        past = passes(verdict.marks) & (verdict.logits.argmax(1) != attacked.labels)
        assert row["num_defended"] == defended.sum()
        assert row["success"] == pytest.approx(past[defended].mean())


def test_thresholds_keep_the_rate_of_the_whole_defence():
    random = np.random.RandomState(0)
    clean = {
        "a": random.uniform(size=500).astype(np.float32),
        "b": random.randint(40, size=500).astype(np.float32),  # with ties
    }
    for rate in (0.0, 0.001, 0.01, 0.05, 0.3):
        limits = rates.thresholds_at(clean, rate)
        rejected = np.any([clean[n] >= limits[n] for n in clean], axis=0)
        assert rejected.sum() <= int(500 * rate)
        assert all(np.isfinite(list(limits.values())))
    apart = {"a": clean["a"], "b": clean["a"].copy()}
    limits = rates.thresholds_at(apart, 0.05)
    assert np.sum(apart["a"] >= limits["a"]) == 25


def test_white_box_examples_are_crafted_for_the_thresholds_of_a_rate(finished, magnet):
    validation = datasets.load("digits").validation.images
    for rate in RATES:
        limits = rates.thresholds_at(magnet.judge(validation).marks, rate)
        found = stored(finished, f"white/D-fpr{rate:g}", "cw-kappa0", "L2")
        marks = magnet.judge(found["adversarial"][found["success"]]).marks
        for name, limit in limits.items():
            assert (marks[name] < limit).all()


# Targeted


def test_the_three_cases_of_an_image():
    reached = np.array([[True, False], [True, True], [False, False]])
    distances = {"l2": np.array([[3.0, 1.0], [5.0, 4.0], [1.0, 1.0]])}
    found = targeted.cases(reached, distances, np.array([1, 0, 0]))
    success = {name: of.tolist() for name, (of, _) in found.items()}
    assert success == {
        "best": [True, True, False],
        "average": [False, True, False],
        "worst": [False, True, False],
    }
    assert found["best"][1]["l2"][:2].tolist() == [3.0, 4.0]
    assert found["worst"][1]["l2"][1] == found["average"][1]["l2"][1] == 5.0


def test_every_other_class_is_a_target():
    examples = Split(np.zeros((2, 4, 4, 1), np.float32), np.array([0, 3]))
    found = targeted.toward_others(examples, 5)
    assert sorted(found.labels[:4]) == [1, 2, 3, 4]
    assert sorted(found.labels[4:]) == [0, 1, 2, 4]
    assert len(found.images) == 8


def test_targeted_rows_are_what_the_defence_says(finished, magnet, attacked):
    rows = {
        (row["variant"], row["knowledge"], row["case"]): row
        for row in rows_of(finished, "targeted")
        if row["rule"] == "L2"
    }
    assert len(rows) == 3 * 3  # oblivious against none and D, white against D
    first = attacked.at(slice(3))
    targets = targeted.toward_others(first, 10).labels
    clean = magnet.judge(first.images)
    defended = clean.passed & (clean.logits.argmax(1) == first.labels)
    for knowledge, folder in (("oblivious", "targeted"), ("white", "targeted/white/D")):
        found = stored(finished, folder, "cw-kappa0", "L2")
        verdict = magnet.judge(found["adversarial"])
        past = verdict.passed & (verdict.logits.argmax(axis=1) == targets)
        past = past.reshape(3, 9)[defended]
        best, worst = (rows["D", knowledge, case]["asr"] for case in ("best", "worst"))
        assert best == past.any(axis=1).mean() and worst == past.all(axis=1).mean()
    found = stored(finished, "targeted", "cw-kappa0", "L2")
    reached = found["success"].reshape(3, 9)
    assert rows["none", "oblivious", "best"]["asr"] == reached.any(axis=1).mean()


def test_one_run_of_each_attack():
    """That of the least confidence, or of the largest ball."""
    apart = grid.groups(["cw", "ead", "opgd"], [5, 0, 10], [0.1, 0.2], sweep=False)
    plan = evaluation.Plan(apart, {}, 1, 0, {})
    found = experiment.at_least_confidence(plan).grid
    assert [(g.attack, g.beta, g.confidences) for g in found] == [
        ("cw", None, (0.0,)),
        ("ead", 0.1, (0.0,)),
        ("ead", 0.2, (0.0,)),
        ("opgd", None, (3.0,)),
    ]


# Running again


def test_a_second_run_makes_nothing(finished, monkeypatch, capsys):
    def forbidden(*_, **__):
        raise AssertionError("an attack was run again")

    monkeypatch.setattr(grid, "carlini_wagner_l2", forbidden)
    monkeypatch.setattr(grid, "elastic_net", forbidden)
    before = (finished / "results.json").read_bytes()
    run(finished, targeted=True, num_targeted=3)
    reused, made = counts(capsys.readouterr().out)
    assert reused and not made
    assert (finished / "results.json").read_bytes() == before


# What cannot be done


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"knowledge": ["black"]}, "--knowledge: there is no 'black'"),
        ({"pack": 1}, "a pack of one"),
        ({"gray_autoencoders": ["0"]}, "whole numbers of at least 1"),
        ({"rates": ["0.1", "5"]}, "--rates: expected shares of clean images below 1"),
        (
            {"dataset": "mnist_sample", "knowledge": ["gray"]},
            "mnist_sample has no images to train",
        ),
        ({"pack": 4, "defence": "mine.keras", "variants": None}, "leave out --pack"),
        (
            {"pack": 2, "models_dir": "zoo", "gray_autoencoders": ["4"]},
            "the zoo's attacker has a pack of 2",
        ),
    ],
)
def test_bad_flags_are_one_sentence(changes, message, tmp_path):
    with pytest.raises(SystemExit, match=message) as raised:
        run(tmp_path / "run", **{"confidences": ["0"], **changes})
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "run").exists()


def test_an_attack_without_constraints_cannot_know_a_defence(tmp_path, monkeypatch):
    plain = grid.Attack(lambda *_, **__: [], has_beta=False, title="Mine")
    monkeypatch.setitem(grid.ATTACKS, "mine", plain)
    with pytest.raises(SystemExit, match="'mine' takes no constraints"):
        run(tmp_path / "run", attacks=["mine"])


def test_an_attack_without_a_confidence_is_told_in_its_own_words(tmp_path, monkeypatch):
    def brighter(classifier, x, labels, group, **_):
        for value in group.confidences:
            moved = np.clip(x + np.float32(value), 0, 1)
            fooled = np.asarray(classifier(moved)).argmax(axis=1) != labels
            yield {"Linf": measured(x, moved, fooled, const=0.0 * labels)}

    for name, of in (("swept", ("shift", (0.2, 0.9))), ("single", (None, ()))):
        attack = grid.Attack(lambda *a, **k: list(brighter(*a, **k)), False, name, *of)
        monkeypatch.setitem(grid.ATTACKS, name, attack)
    folder, names = tmp_path / "run", ["cw", "swept", "single"]
    run(folder, attacks=names, betas=None, knowledge=["oblivious"])
    rows = rows_of(folder, "results")
    kept = [(row["attack"], row["confidence"], row["value"]) for row in rows]
    assert kept == [
        ("cw", 0, 0),
        ("swept", None, 0.2),
        ("swept", None, 0.9),
        ("single", None, None),
    ]
    report = (folder / "report.md").read_text()
    assert "shift = 0.2, 0.9" in report and "None" not in report


def test_an_uncalibrated_defence_is_one_sentence(tmp_path):
    trained = zoo.load("digits", "D")
    bare = magnet_tf.MagNet(
        trained.classifier, trained.reformer, {"I": trained.detectors["I"]}
    )
    bare.save(tmp_path / "bare.keras")
    with pytest.raises(SystemExit, match="no thresholds") as raised:
        run(tmp_path / "run", variants=None, defence=str(tmp_path / "bare.keras"))
    assert "\n" not in str(raised.value)


def test_within_a_distance():
    """An attack within a ball by its run for the radius, another by its least confidence."""
    random = np.random.default_rng(0)
    count, x = 30, np.zeros((30, 4, 4, 1), np.float32)
    cases, outcomes = {}, {}
    for group in grid.groups(["cw", "opgd"], [5, 0], [], sweep=True):
        for run_ in group.runs:
            size = 0.2 * run_.confidence if run_.attack == "opgd" else 0.5
            moved = x + np.float32(size) * random.uniform(size=x.shape).astype("f4")
            case = grid.Case(run_, "L2")
            cases[case] = measured(
                x, moved.clip(0, 1), np.ones(count, bool), x[:, 0, 0, 0]
            )
            right, passed = random.uniform(size=(2, count)) < [[0.3], [0.8]]
            outcomes[case] = Outcome(right, right, passed, {})
    everyone = np.ones(count, bool)
    clean = Outcome(everyone, everyone, random.uniform(size=count) < 0.9, {})
    attacked = Split(x, np.zeros(count, int))
    variants = {"D": VariantResults("D", {}, clean, outcomes)}
    of = Results("made up", 0, attacked, cases, variants)
    found = AdaptiveResults([Part(Attacker("white"), of)], np.arange(count))
    rows = {(row["attack"], row["epsilon"]): row for row in within.rows(found)}
    assert len(rows) == 2 * 6
    for (attack, radius), row in rows.items():
        value = radius if attack == "opgd" else 0.0
        case = grid.Case(grid.Run(attack, value), "L2")
        past = outcomes[case].passed & ~outcomes[case].right_healed
        near = (
            np.linalg.norm(cases[case].adversarial.reshape(count, -1), axis=1) <= radius
        )
        assert row["success"] == (past & near)[clean.passed].mean()
        assert row["num_defended"] == clean.passed.sum()


def test_what_an_attacker_is_called():
    assert Attacker("white").title == "white"
    assert Attacker("gray", 4).title == "gray (4)"
