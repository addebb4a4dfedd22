"""What the benchmark says of examples and times; the times themselves are not tested."""

import json
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import magnet_cli
import magnet_tf
from eval import benchmark, benchmark_report, measurements
from eval.arguments import FlagError
from eval.contenders import (
    Settings,
    distances,
    floor,
    foolbox,
    median_ratio,
    nearest,
    ours,
)
from magnet_tf import zoo

RANDOM = np.random.RandomState(0)


def test_distances_are_those_of_the_examples_that_lose_by_the_confidence():
    x = RANDOM.uniform(size=(3, 2, 2, 1)).astype(np.float32)
    adversarial = x + np.array([0.1, 0.2, 0.4], np.float32)[:, None, None, None]
    logits = np.array([[0, 5, 1], [0, 1, 2], [3, 7, 1]], np.float32)
    labels = np.array([0, 0, 1])  # lose by 5, by 2, and not
    settings = Settings("ead", "EN", confidence=2.0, beta=0.5)
    found = distances(lambda _: logits, settings, x, labels, adversarial)
    assert found["success"] == pytest.approx(2 / 3)
    assert found["l1"] == pytest.approx((0.4 + 0.8) / 2, rel=1e-5)
    assert found["l2"] == pytest.approx((0.2 + 0.4) / 2, rel=1e-5)
    assert found["en"] == pytest.approx((0.04 + 0.16) / 2 + 0.5 * 0.6, rel=1e-5)


def test_without_a_success_there_is_no_distance():
    x = np.zeros((1, 2, 2, 1), np.float32)
    settings = Settings("cw", "L2")
    found = distances(lambda _: np.array([[1.0, 0.0]]), settings, x, np.array([0]), x)
    assert found == {"success": 0.0, "l1": None, "l2": None, "en": None}


def test_the_median_is_of_ratios():
    assert median_ratio([2.0, 9.0, 4.0], [1.0, 3.0, 4.0]) == 2.0


@pytest.fixture(scope="module")
def classifier():
    return zoo.load("digits", "D").classifier


def images(count: int) -> tuple[np.ndarray, np.ndarray]:
    bench = measurements.Bench(measurements.Size("digits", count, [0.0], 0.01, 5, 1))
    return bench.images(count)


@pytest.mark.parametrize("attack", ["cw", "ead"])
def test_ours_is_asked_for_what_the_settings_say(classifier, attack):
    settings = Settings(attack, "EN", max_iterations=5, binary_search_steps=2)
    x, labels = images(16)
    for search in ("exact", "primal_dual"):
        found = ours(classifier, settings, search)(x, labels)
        assert list(found) == list(measurements.RULES[attack])
        assert all(examples.shape == x.shape for examples in found.values())
    assert floor(classifier, settings)(x, labels) == {}


@pytest.mark.slow
def test_the_nearest_examples_are_by_each_rule(classifier):
    settings = Settings("ead", "EN", beta=0.05)
    x, labels = images(16)
    found = nearest(classifier, settings)(x, labels)
    ends = {
        rule: distances(classifier, settings, x, labels, of)
        for rule, of in found.items()
    }
    assert ends["EN"]["success"] == ends["L1"]["success"] == 1
    assert ends["EN"]["en"] < ends["L1"]["en"] and ends["L1"]["l1"] < ends["EN"]["l1"]


@pytest.mark.parametrize("attack", ["cw", "ead"])
def test_foolbox_finds_examples_like_the_exact_search(classifier, attack):
    pytest.importorskip("foolbox", reason="the extra `bench` is not installed")
    rule = measurements.RULES[attack][0]
    settings = Settings(
        attack,
        rule,
        initial_const=1.0,
        learning_rate=0.05,
        max_iterations=60,
        binary_search_steps=3,
        abort_early=False,
    )
    x, labels = images(16)
    ends = {
        name: distances(classifier, settings, x, labels, craft(x, labels)[rule])
        for name, craft in (
            ("ours", ours(classifier, settings, "exact")),
            ("foolbox", foolbox(classifier, settings)),
        )
    }
    assert ends["ours"]["success"] == ends["foolbox"]["success"] == 1
    assert ends["ours"]["l2"] == pytest.approx(ends["foolbox"]["l2"], rel=0.1)


def test_a_second_run_measures_only_what_is_missing(tmp_path, monkeypatch, capsys):
    measured = []

    def two(_):
        def measure(name):
            measured.append(name)
            if len(measured) == 2:
                raise KeyboardInterrupt
            return {"rows": [{"batch_size": 4, "ours_ms": 1.0, "floor_ms": 0.9}]}

        return {n: lambda n=n: measure(n) for n in ("batch size cw", "batch size ead")}

    for module in ("art", "foolbox"):
        monkeypatch.setitem(sys.modules, module, SimpleNamespace())
    monkeypatch.setattr(measurements, "measurements", two)
    args = ["--dataset=digits", "--num_examples=4", f"--output_dir={tmp_path}"]
    with pytest.raises(SystemExit, match="interrupted; the same command goes on"):
        magnet_cli.main(benchmark.COMMAND, args)
    magnet_cli.main(benchmark.COMMAND, args)
    assert measured == ["batch size cw", "batch size ead", "batch size ead"]
    kept = json.loads((tmp_path / "benchmark.json").read_text())
    assert list(kept["results"]) == ["batch size cw", "batch size ead"]
    assert (tmp_path / "benchmark.png").stat().st_size > 1000
    with pytest.raises(SystemExit, match="other settings; choose another"):
        magnet_cli.main(benchmark.COMMAND, [*args, "--repeats=2"])
    (tmp_path / "benchmark.json").write_text('{"settings": ')
    magnet_cli.main(benchmark.COMMAND, args)
    assert "is damaged" in capsys.readouterr().err
    assert (tmp_path / "benchmark.json.damaged").exists()
    assert len(measured) == 5


def test_results_that_were_altered_are_not_reported(tmp_path, capsys):
    path, settings = tmp_path / "benchmark.json", {"repeats": 5}
    benchmark.keep(path, settings, {"memory": {"64 images": 0.5}})
    assert benchmark.stored_results(path, settings) == {"memory": {"64 images": 0.5}}
    path.write_text(path.read_text().replace("0.5", "0.4"))
    assert benchmark.stored_results(path, settings) == {}
    assert "does not match its digest" in capsys.readouterr().err
    path.write_text('{"mine": 1}')
    with pytest.raises(FlagError, match=r"benchmark\.json is no benchmark's"):
        benchmark.stored_results(path, settings)
    assert path.read_text() == '{"mine": 1}'


def test_what_another_version_measured_is_measured_again(tmp_path, monkeypatch, capsys):
    path, settings = tmp_path / "benchmark.json", {"repeats": 5}
    with monkeypatch.context() as patch:
        patch.setattr(magnet_tf, "__version__", "0.1.0")
        benchmark.keep(path, settings, {"memory": {"64 images": 0.5}})
    assert benchmark.stored_results(path, settings) == {}
    assert "is of another version and is made again" in capsys.readouterr().err
    assert "0.1.0" in (tmp_path / "benchmark.json.outdated").read_text()


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--dataset=nothing", "the zoo has no MagNet 'D' for 'nothing'"),
        ("--confidences=0,x", "--confidences: expected numbers"),
        ("--beta=nan", "--beta"),
    ],
)
def test_bad_flags(flag, message, tmp_path, monkeypatch):
    for module in ("art", "foolbox"):
        monkeypatch.setitem(sys.modules, module, SimpleNamespace())
    with pytest.raises(SystemExit) as raised:
        magnet_cli.main(
            benchmark.COMMAND, [flag, f"--output_dir={tmp_path / 'results'}"]
        )
    assert message in str(raised.value) and not (tmp_path / "results").exists()


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "foolbox", None)
    monkeypatch.setitem(sys.modules, "art", SimpleNamespace())
    with pytest.raises(SystemExit, match=r"pip install '.\[bench\]'"):
        magnet_cli.main(benchmark.COMMAND, [])


def test_the_table_has_a_row_for_everything():
    of = {"success": 1.0, "l1": 8.0, "l2": 1.5, "en": 3.0}
    ratios = {"time_ratio": 0.3, "distance_ratio": [1.0, 1.01]}
    results = {
        "memory": {"64 images": 0.5},
        "iteration cw": {
            "ms": {"floor": 1.0, "ours": 1.1, "foolbox": 3.0, "art": 30.0},
            "ours_over_floor": 1.1,
            "foolbox_over_ours": 2.7,
            "art_over_ours": 27.0,
        },
        "sweep L2": {"rows": [{"confidences": [0, 1], **ratios}]},
        "quality ead 0 primal_dual": {"seconds": 12.0, "EN": of, "L1": of},
        "quality cw 20 exact": {"seconds": 99.0, "L2": of},
    }
    batches = [{"batch_size": n, "ours_ms": 8.0 / n, "floor_ms": 1.0} for n in (4, 16)]
    results["batch size cw"] = {"rows": batches}
    text = re.sub(" +", " ", benchmark_report.table(results))
    for cells in (
        "| C&W, 4 (filled up to 16) | 1.000 | 2.000 |",
        "| C&W, 16 | 1.000 | 0.500 |",
        "| C&W, 64 images | 1.000 | 1.100 (1.10 x floor) | 3.000 (2.7 x ours) | 30.00 ",
        "| ead κ=0, primal_dual | 12.0 | 100%, 100% | | 3.000 | 8.000 |",
        "| cw κ=20, exact | 99.0 | 100% | 1.500 | | |",
        "| L2, 2 confidences | 0.30 | 1.010 |",
        "| 64 images | 0.50 |",
    ):
        assert cells in text
