"""What a report says, on made-up results."""

import csv
import dataclasses
import json

import numpy as np
import pytest

from eval import detection, publication, report, summary, tables
from eval.grid import Case, Run
from tests.eval import made_up


@pytest.fixture(scope="module")
def results():
    return made_up.results()


@pytest.fixture(scope="module")
def text(results) -> str:
    made_by = {"command": "`python -m it`", "classifier": "a good one"}
    return report.markdown(results, detection.rows(results), made_by)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_rows_are_written_as_json_and_csv(results, tmp_path):
    rows = results.rows()
    publication.write_rows(tmp_path, "results", rows)
    assert json.loads((tmp_path / "results.json").read_text()) == rows
    with (tmp_path / "results.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    expected = [
        {key: "" if value is None else str(value) for key, value in row.items()}
        for row in rows
    ]
    assert lines == expected and list(lines[0]) == list(rows[0])
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "results.csv",
        "results.json",
    ]


def test_a_table_has_a_line_for_each_row(results):
    rows = results.rows()
    header, rule, *lines = tables.of_rows(rows, report.COLUMNS).splitlines()
    assert len(lines) == len(rows)
    assert {len(line) for line in lines} == {len(header)} == {len(rule)}
    assert set(rule) == {"|", "-"}
    shown = dict(zip(cells(header), cells(lines[2])))
    row = rows[2]  # EAD, beta 0.01, kappa 0, by EN

    def percent(key):
        return f"{100 * row[key]:.0f} %"

    low, high = percent("asr_low")[:-2], percent("asr_high")[:-2]
    assert shown == {
        "variant": "D",
        "attack": "EAD EN, β=0.01",
        "κ": "0",
        "fooled": "92 %",
        "none": percent("accuracy_none"),
        "detector": percent("accuracy_detector"),
        "reformer": percent("accuracy_reformer"),
        "both": percent("accuracy_both"),
        "ASR [95 %]": f"{percent('asr')} [{low}, {high}]",
        "L1": f"{row['mean_l1']:.3g}",
        "L2": f"{row['mean_l2']:.3g}",
        "L∞": f"{row['mean_linf']:.3g}",
    }


def test_a_failed_attack_has_no_distances(results):
    rows = results.rows()
    assert rows[1]["mean_l1"] is None
    header, _, *lines = tables.of_rows(rows, report.COLUMNS).splitlines()
    shown = dict(zip(cells(header), cells(lines[1])))
    assert shown["attack"] == "C&W L2" and shown["fooled"] == "0 %"
    assert shown["L1"] == shown["L2"] == shown["L∞"] == "–"


def test_digits_are_those_that_the_number_of_images_warrants():
    assert tables.percent(0.94123, 50) == tables.percent(0.94123, 100) == "94 %"
    assert tables.percent(0.94123, 200) == tables.percent(0.94123, 1000) == "94.1 %"


def test_the_report_says_what_came_out_first(results, text):
    first, *sentences = text.split("\n\n")
    assert first == "# MagNet in the oblivious setting: digits"
    assert sentences[:3] == summary.sentences(results.rows())


def test_the_report_names_every_variant(results, text):
    assert "| command | `python -m it` |\n| classifier | a good one |\n" in text
    assert "12 drawn with seed 3" in text
    for name, of in results.variants.items():
        share = np.mean(of.clean.passed & of.clean.right_healed)
        thresholds = ", ".join(f"{d} {t:.4g}" for d, t in of.thresholds.items())
        assert f"| {name} | {share:.2%} | {thresholds} |" in text
        assert summary.tables(results.rows())[name] in text
        for stem in ("accuracy", "marks", "roc"):
            assert text.count(f"({stem}_{name}.png)") == 1
    assert text.count("(asr.png)") == text.count("(examples.png)") == 1


def row(attack, rule, kappa, asr, low, high, **changes) -> dict:
    return {
        "dataset": "mnist",
        "variant": "D",
        "attack": attack,
        "rule": rule,
        "beta": 0.1 if attack == "ead" else None,
        "confidence": kappa,
        "parameter": "confidence",
        "value": kappa,
        "num_examples": 50,
        "success_undefended": 1.0,
        "clean_accuracy_none": 0.994,
        "asr": asr,
        "asr_low": low,
        "asr_high": high,
        **changes,
    }


CW = [row("cw", "L2", 0, 0.0, 0.0, 0.07), row("cw", "L2", 10, 0.02, 0.0, 0.1)]
EAD = [row("ead", "L1", 0, 0.2, 0.1, 0.3), row("ead", "L1", 10, 0.94, 0.84, 0.98)]


def test_three_sentences():
    one, two, three = summary.sentences(CW + EAD)
    assert "50 test images of mnist" in one and "99.4% of all" in one
    assert "C&W and EAD (β 0.1) at κ = 0, 10" in one and "all of them" in one
    assert two.endswith(": D: C&W 2 % [0, 10] at κ 10, EAD 94 % [84, 98] at κ 10.")
    assert "C&W 0 % [0, 7] at any κ" in summary.got_past(CW[:1])
    assert three == "EAD did better than C&W against D."


def test_which_attack_did_better_is_said_per_variant_and_beyond_chance():
    other = [{**r, "variant": "E", "asr_low": 0.0, "asr_high": 1.0} for r in CW + EAD]
    better = [{**r, "variant": "F"} for r in [*CW, EAD[0]]]
    better[1] |= {"asr": 0.9, "asr_low": 0.8, "asr_high": 0.95}
    assert summary.compared(CW + EAD + other + better) == (
        "EAD did better than C&W against D; these images do not tell EAD and C&W apart "
        "against E; C&W did better than EAD against F."
    )
    assert len(summary.sentences(EAD)) == 2  # nothing to compare with


def test_a_table_for_each_variant_has_kappa_across():
    found = summary.tables(CW + EAD)
    header, _, *lines = found["D"].splitlines()
    assert cells(header) == ["ASR [95 %]", "κ = 0", "κ = 10"]
    assert [cells(line) for line in lines] == [
        ["C&W L2", "0 % [0, 7]", "2 % [0, 10]"],
        ["EAD L1, β=0.1", "20 % [10, 30]", "94 % [84, 98]"],
    ]


def test_worst_cases_count_images_that_any_attack_gets_past(results):
    found = {(r["variant"], r["attacks"]): r for r in results.worst_cases()}
    assert len(found) == 2 * 3
    for (name, family), worst in found.items():
        past = np.zeros(made_up.COUNT, bool)
        for case, outcome in results.variants[name].attacked.items():
            if family in (case.run.attack, "all"):
                past |= outcome.passed & ~outcome.right_healed
        assert worst["asr"] == pytest.approx(past.mean())
        assert worst["asr_low"] < worst["asr"] <= worst["asr_high"]


def test_chance_is_the_spread_over_trainings(results):
    assert results.chance() == []
    own = results.variants
    trained = {
        "D": own["D"],
        "D-seed1": dataclasses.replace(own["D+JSD"], variant="D"),
        "D-seed2": dataclasses.replace(own["D"], attacked=own["D+JSD"].attacked),
        "D+JSD": own["D+JSD"],
    }
    several = dataclasses.replace(results, variants=trained)
    found = several.chance()
    assert {row["variant"] for row in found} == {"D"} and len(found) == 10
    for row in found:
        asr = [
            1 - other["accuracy_both"]
            for other in several.rows()
            if other["variant"] != "D+JSD"
            and all(
                other[k] == row[k] for k in ("attack", "rule", "beta", "confidence")
            )
        ]
        assert len(asr) == row["num_trainings"] == 3
        expected = min(asr), sorted(asr)[1], max(asr)
        spread = row["asr_least"], row["asr_median"], row["asr_most"]
        assert spread == pytest.approx(expected)
    assert "## Chance" in report.markdown(several, [], {})


def test_a_classifier_that_does_not_repeat_itself_is_warned_of(results):
    assert report.warnings(results) == []
    case = Case(Run("ead", 0.0, 0.1), "EN")
    variant = results.variants["D"]
    outcome = variant.attacked[case]
    right = outcome.right.copy()
    right[3:5] ^= True
    attacked = {**variant.attacked, case: dataclasses.replace(outcome, right=right)}
    changed = dataclasses.replace(variant, attacked=attacked)
    (warning,) = report.warnings(dataclasses.replace(results, variants={"D": changed}))
    assert "EAD EN, β=0.1 at κ = 0 (2)" in warning


def test_without_detectors_there_is_no_appendix_on_detection(results):
    bare = {
        name: dataclasses.replace(
            of, thresholds={}, clean=dataclasses.replace(of.clean, marks={})
        )
        for name, of in results.variants.items()
    }
    reforming = dataclasses.replace(results, variants=bare)
    assert detection.rows(reforming) == []
    assert "detection" not in report.markdown(reforming, [], {})
