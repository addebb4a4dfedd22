"""The audit: a sound evaluation passes, and each of six that were broken fails, with the reason."""

import dataclasses
import json
import shutil
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import layers

import magnet_cli
from eval import audit, auditing, oblivious, publication, store
from eval.auditing import again, evidence, kept
from eval.grid import ATTACKS, Attack, Case, Group, Run
from eval.presets import PRESETS, Preset
from magnet_tf import MagNet, saved, zoo
from tests import command_line

COUNT = 16
STALE = {
    "learning_rate": 0.01,
    "max_iterations": 30,
    "binary_search_steps": 3,
    "initial_const": 1e-3,
    "search": "exact",
}
LAZY = """
from attacks import minimum_norm
from eval.grid import ATTACKS, Attack

def lazy(classifier, x, labels, group, **search):
    found = minimum_norm(classifier, x, labels, norm="L2", gradients=60)
    return [{"L2": found} for _ in group.confidences]

ATTACKS["lazy"] = Attack(lazy, has_beta=False, title="Lazy")
"""


@pytest.fixture(scope="module", autouse=True)
def small():
    kappas = dict.fromkeys(("mnist", "digits", "cifar10"), (0, 5))
    stale = Preset(COUNT, kappas, (0.01,), STALE)
    hasty = {**STALE, "max_iterations": 3, "initial_const": 10.0}
    hasty["binary_search_steps"] = 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PRESETS, "stale", stale)
        patch.setitem(PRESETS, "hasty", dataclasses.replace(stale, search=hasty))
        patch.setattr(publication.figures, "write", lambda *_: None)
        patch.setattr(publication.html_report, "page", lambda *_: "")
        patch.setattr(evidence, "SAMPLE", COUNT)
        patch.setattr(again, "SAMPLE", COUNT)
        for name, few in (("DRAWS", 20), ("AT_ONCE", 20), ("STARTS", 8), ("STEPS", 8)):
            patch.setattr(again, name, few)
        yield


def evaluate(directory, **changes):
    """An evaluation of MNIST's sample with the zoo's D, in this process."""
    args = {
        "variants": ["D"],
        "num_examples": COUNT,
        "confidences": ["0", "5"],
        "betas": ["0.01"],
        "output_dir": directory,
        **changes,
    }
    magnet_cli.main(oblivious.COMMAND, command_line.of(**args))
    return directory


def found_by(directory, check: str) -> auditing.Finding:
    return auditing.CHECKS[check].find(evidence.load(directory, None))


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """A finished evaluation, not to be changed."""
    return evaluate(tmp_path_factory.mktemp("sound") / "run")


@pytest.fixture
def broken(sound, tmp_path):
    """A copy of it, to be broken."""
    shutil.copytree(sound, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.slow
def test_a_sound_evaluation_passes(broken, capsys):
    report = (broken / "report.md").read_text()
    page = "<main>\n<p>x</p>\n</main>\n<footer></footer>"
    (broken / "report.html").write_text(page)
    magnet_cli.main(audit.COMMAND, [f"--output_dir={broken}"])
    written = json.loads((broken / "audit.json").read_text())
    assert list(written) == list(auditing.CHECKS)
    found = {name: auditing.Finding(**finding) for name, finding in written.items()}
    auditing.write(broken, found)  # once more: the section is replaced
    for finding in written.values():
        assert finding["status"] == "pass", finding
        assert isinstance(finding["value"], float) and finding["why"]
    assert "fail" not in capsys.readouterr().out
    text = (broken / "report.md").read_text()
    assert text.startswith(report) and text.count("## Audit") == 1
    text = (broken / "report.html").read_text()
    assert text.count("<h2>Audit</h2>") == 1 and text.endswith("<footer></footer>")
    assert text.index("Audit") < text.index("</main>")


def test_the_audit_changes_nothing_but_its_own_file(broken):
    def content():
        return {p: p.read_bytes() for p in broken.rglob("*") if p.is_file()}

    before = content()
    found_by(broken, "bounds")
    assert content() == before


# Six that are broken


def test_kappa_ignored(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "lazy_attack.py").write_text(LAZY)
    directory = evaluate(
        tmp_path / "run", attacks=["lazy"], betas=None, modules=["lazy_attack"]
    )
    try:
        finding = found_by(directory, "margin")
        assert finding.status == "fail" and -6 < finding.value < -4
        assert "κ = 5" in finding.why
    finally:
        del ATTACKS["lazy"], sys.modules["lazy_attack"]


def test_gradients_masked_by_saturated_logits(tmp_path):
    magnet = zoo.load("mnist", "D")
    masked = keras.Sequential(
        [
            layers.Input((28, 28, 1)),
            magnet.classifier,
            layers.Rescaling(50.0),
            layers.Softmax(),
            layers.Rescaling(10.0),
        ]
    )
    defence = MagNet(masked, magnet.reformer, magnet.detectors)
    defence.set_thresholds(magnet.thresholds)
    defence.save(tmp_path / "masked.keras")
    directory = evaluate(
        tmp_path / "run",
        defence=tmp_path / "masked.keras",
        variants=None,
        preset="stale",
        attacks=["cw"],
        betas=None,
        confidences=["0"],
    )
    shutil.copy(tmp_path / "masked.keras", directory / "defended_masked.keras")
    unbounded, free = (found_by(directory, of) for of in ("unbounded", "gradient_free"))
    assert unbounded.status == "fail" and unbounded.value < 1
    assert free.status == "fail" and free.value > 0.5


def test_too_few_iterations(tmp_path):
    directory = evaluate(
        tmp_path / "run",
        preset="hasty",
        attacks=["ead"],
        confidences=["0"],
    )
    finding = found_by(directory, "iterations")
    assert finding.status == "fail" and finding.value >= 2
    assert "success" in finding.why


def test_a_failure_within_a_bound_is_no_miss(monkeypatch):
    """Success rises with a bound, and must be complete where there is none."""
    rates = {}

    def asked(**attacks):
        for name, (attack, of) in attacks.items():
            monkeypatch.setitem(ATTACKS, name, attack)
            for value, rate in of.items():
                success = np.arange(10) < 10 * rate
                case = Case(Run(name, value), "L2")
                rates[case] = SimpleNamespace(success=success)
        return kept.unbounded(SimpleNamespace(crafted=rates))

    one = Attack(list, has_beta=False, title="One", parameter=None, bounded=True)
    assert asked(one=(one, {0.0: 0.1})).status == "not applicable"
    swept = dataclasses.replace(one, title="Swept", parameter="epsilon")
    steps = dataclasses.replace(swept, title="Steps", parameter="steps", bounded=False)
    found = asked(
        swept=(swept, {0.1: 0.2, 0.2: 0.5}), steps=(steps, {5.0: 0.9, 9.0: 1.0})
    )
    assert found.status == "pass"
    found = asked(opgd=(ATTACKS["opgd"], {0.5: 0.1, 3.0: 0.9}))  # within a ball
    assert found.status == "pass"
    free = dataclasses.replace(one, title="Free", bounded=False)
    found = asked(free=(free, {0.0: 0.9}))
    assert (found.status, found.value) == ("fail", 0.9) and "Free" in found.why
    found = asked(swept=(swept, {0.1: 0.2, 0.2: 0.1}))
    assert found.status == "fail" and "falls by 10.0%" in found.why


def test_examples_outside_the_bounds(broken):
    [path] = broken.glob("attacks/cw-kappa5-000.npz")
    arrays = store.arrays_of(path)
    arrays["L2/adversarial"] = 1.5 * arrays["L2/adversarial"]
    settings = json.loads(str(np.load(path)["settings"]))
    book = json.loads((broken / "settings.json").read_text())["settings"]
    with store.Store(broken, book) as files:
        files.save("attacks/cw-kappa5-000", settings, arrays)
    finding = found_by(broken, "bounds")
    assert finding.status == "fail" and finding.value == COUNT
    assert "outside [0, 1] (by up to 0.5)" in finding.why


def test_success_overstated(broken, capsys):
    path = broken / "results.json"
    rows = json.loads(path.read_text())
    rows[0]["asr"] += 0.25
    path.write_text(json.dumps(rows))
    finding = found_by(broken, "rates")
    assert finding.status == "fail" and finding.value == pytest.approx(25)
    assert f"asr, D, {rows[0]['attack']}-kappa0-L2" in finding.why


def test_thresholds_of_another_card(broken):
    path = broken / "defended_D.keras"
    magnet = saved.load_defence(path)
    magnet.set_thresholds({name: 1.5 * of for name, of in magnet.thresholds.items()})
    magnet.save(path)
    finding = found_by(broken, "card")
    assert finding.status == "fail" and finding.value == pytest.approx(0.5, abs=0.01)
    assert "threshold I" in finding.why


def test_a_failure_names_what_is_in_doubt_and_exits_with_1(broken, capsys, monkeypatch):
    fails = auditing.Finding("fail", 0.5, "the least margin is κ -5")
    checks = {"margin": auditing.CHECKS["margin"]._replace(find=lambda _: fails)}
    monkeypatch.setattr(auditing, "CHECKS", checks)
    with pytest.raises(SystemExit) as ended:
        magnet_cli.main(audit.COMMAND, [f"--output_dir={broken}"])
    assert ended.value.code == "eval.audit: 1 of 1 checks failed: margin."
    assert "In doubt: the axis of confidences" in capsys.readouterr().out
    written = json.loads((broken / "audit.json").read_text())
    assert written == {"margin": fails._asdict()}


def test_what_was_crafted_in_a_sweep_is_repeated_in_it():
    runs = [Run("cw", kappa, None) for kappa in (0.0, 20.0, 10.0)]
    runs += [Run("ead", kappa, beta) for kappa in (0.0, 10.0) for beta in (0.01, 0.1)]
    crafted = {Case(run, "L2"): None for run in runs}

    def confidences(attack, beta, search):
        of = SimpleNamespace(crafted=crafted, search={"search": search})
        group = again.crafted_with(of, Run(attack, 10.0, beta))
        assert (group.attack, group.beta) == (attack, beta)
        return group.confidences

    assert confidences("cw", None, "primal_dual") == (0.0, 10.0, 20.0)
    assert confidences("cw", None, "exact") == (10.0,)
    assert confidences("ead", 0.1, "primal_dual") == (10.0,)


def test_an_interrupted_audit_goes_on(broken, monkeypatch, capsys):
    asked = []

    def find(name, *, interrupted=False):
        def answer(_):
            asked.append(name)
            if interrupted:
                raise KeyboardInterrupt
            return auditing.Finding("pass", 0.25, "a quarter")

        return auditing.CHECKS[name]._replace(find=answer)

    def run(**checks):
        asked.clear()
        monkeypatch.setattr(auditing, "CHECKS", checks)
        magnet_cli.main(audit.COMMAND, [f"--output_dir={broken}"])

    first, second = find("bounds"), find("margin")
    cut = find("margin", interrupted=True)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run(bounds=first, margin=cut)
    assert asked == ["bounds", "margin"] and not (broken / "audit.json").exists()
    run(bounds=first, margin=second)
    assert asked == ["margin"] and "1 of 2 checks taken over" in capsys.readouterr().out
    written = json.loads((broken / "audit.json").read_text())
    assert list(written) == ["bounds", "margin"] and written["bounds"]["value"] == 0.25
    run(bounds=first, margin=second)  # a finished one is begun anew
    assert asked == ["bounds", "margin"]

    with pytest.raises((KeyboardInterrupt, SystemExit)):
        run(bounds=first, margin=cut)
    path = broken / "results.json"
    path.write_text(path.read_text() + "\n")  # no longer what was asked
    run(bounds=first, margin=second)
    assert asked == ["bounds", "margin"]
    assert not list(broken.glob("*unfinished*"))


@pytest.mark.parametrize("attack", ["cw", "ead"])
def test_twice_the_gradients_are_twice_the_search_s_own(attack):
    twice = again.doubled(attack, {"search": "primal_dual"})
    own = {**twice, "gradients": twice["gradients"] // 2}
    x = np.random.default_rng(0).random((16, 4, 4, 1), dtype=np.float32)
    model = keras.Sequential(
        [layers.Input((4, 4, 1)), layers.Flatten(), layers.Dense(4)]
    )
    labels = model(x).numpy().argmax(axis=1)
    found, asked = (
        ATTACKS[attack].craft(
            model, x, labels, Group(attack, 0.01, (0.5,)), progress=False, **search
        )
        for search in (own, {"search": "primal_dual"})
    )
    for rule, result in found[0].items():
        np.testing.assert_array_equal(result.adversarial, asked[0][rule].adversarial)
    assert again.doubled(attack, {"search": "primal_dual", "gradients": 90}) == {
        "search": "primal_dual",
        "gradients": 180,
    }
    assert again.doubled(attack, {"max_iterations": 5}) == {"max_iterations": 10}


def test_a_directory_without_an_evaluation_is_one_sentence(tmp_path, broken):
    with pytest.raises(evidence.EvidenceError, match="has no results.json"):
        evidence.load(tmp_path, None)
    (broken / "defended_D.keras").unlink()
    with pytest.raises(evidence.EvidenceError, match="has no defended_D.keras; run"):
        evidence.load(broken, None)
