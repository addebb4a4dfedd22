"""The files of results, on made-up rows."""

import csv
import json

import pytest

from eval import detection, report
from tests.eval import made_up


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The folder that a report was written to."""
    folder = tmp_path_factory.mktemp("report")
    marks = made_up.marks()
    report.write(
        folder,
        made_up.rows(),
        marks,
        detection.rows(marks, made_up.crafted()),
        {"command": "`python -m it`", "classifier": "a good one"},
    )
    return folder


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_json_holds_the_rows(written):
    assert json.loads((written / "results.json").read_text()) == made_up.rows()


def test_csv_holds_the_rows(written):
    with (written / "results.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    expected = [
        {key: "" if value is None else str(value) for key, value in row.items()}
        for row in made_up.rows()
    ]
    assert lines == expected and list(lines[0]) == list(made_up.rows()[0])


def test_nothing_but_whole_files_is_left(written):
    names = {path.name for path in written.iterdir()}
    assert {"results.json", "results.csv", "report.md"} <= names
    assert not [name for name in names if "partial" in name]


def test_the_table_has_a_line_for_each_row():
    rows = made_up.rows()
    header, rule, *lines = report.table(rows).splitlines()
    assert len(lines) == len(rows)
    assert {len(line) for line in lines} == {len(header)} == {len(rule)}
    assert set(rule) == {"|", "-"}
    shown = dict(zip(cells(header), cells(lines[2])))
    row = rows[2]  # EAD, beta 0.01, kappa 0, by EN
    assert shown == {
        "variant": "D",
        "attack": "EAD EN, β=0.01",
        "κ": "0",
        "fooled": "91.7%",
        "none": "0.8%",
        "detector": "1.5%",
        "reformer": "1.0%",
        "both": "3.0%",
        "ASR [95 %]": "97.0% [87.0%, 100.0%]",
        "L1": f"{row['mean_l1']:.3g}",
        "L2": f"{row['mean_l2']:.3g}",
        "L∞": f"{row['mean_linf']:.3g}",
    }


def test_a_failed_attack_has_no_distances():
    rows = made_up.rows()
    assert rows[1]["mean_l1"] is None
    header, _, *lines = report.table(rows).splitlines()
    shown = dict(zip(cells(header), cells(lines[1])))
    assert shown["attack"] == "C&W L2" and shown["fooled"] == "0.0%"
    assert shown["L1"] == shown["L2"] == shown["L∞"] == "–"


def test_the_report_names_every_variant(written):
    text = (written / "report.md").read_text()
    assert "12 test images" in text and "seed\n3" in text and "98.00%" in text
    assert "| command | `python -m it` |\n| classifier | a good one |\n" in text
    assert "| D | 97.00% | I 0.1, II 0.2 |" in text
    assert "| D+JSD | 96.00% | I 0.1, II 0.2, JSD10 0.3, JSD40 0.4 |" in text
    assert report.table(made_up.rows()) in text
    for variant in made_up.VARIANTS:
        for stem in ("accuracy", "marks", "roc"):
            assert text.count(f"({stem}_{variant}.png)") == 1
    assert text.count("(asr.png)") == text.count("(examples.png)") == 1
