"""The original's demo on the files that the original made."""

import pickle
import shutil

import numpy as np
import pytest

from eval import original
from magnet_tf import datasets, legacy


def test_the_demo_gives_the_originals_numbers(
    golden_dir, golden, mnist, tmp_path, capsys
):
    points = original.run(golden_dir, tmp_path)
    assert (tmp_path / "defense_performance.png").stat().st_size > 10_000
    printed = capsys.readouterr().out
    passing = golden["D/clean_collector"]
    assert f"pass I {passing[0]}, II {passing[1]}, all " in printed
    assert f"all {golden['D/clean_all_pass_count']} of 10000" in printed
    both, detectors, reformer, none = golden["D/clean_acc_both_det_ref_none"]
    assert (
        f"no defence {none:.2%}, detectors {detectors:.2%}, reformer {reformer:.2%}, "
        f"both {both:.2%}" in printed
    )
    assert [point["confidence"] for point in points] == [0, 10]
    for point in points:
        expected = golden[f"D/cw{point['confidence']:g}_acc_both_det_ref_none"]
        keys = ["both", "detector", "reformer", "none"]
        assert [point[f"accuracy_{key}"] for key in keys] == pytest.approx(expected)


def test_the_published_order_is_recovered(mnist):
    order = original.published_order("test", 10_000)
    # as every copy of the published t10k-labels file begins and ends
    assert mnist.test.labels[order][:20].tolist() == [
        7, 2, 1, 0, 4, 1, 4, 9, 5, 9, 0, 6, 9, 0, 1, 5, 9, 7, 3, 4,
    ]  # fmt: skip
    assert mnist.test.labels[order][-6:].tolist() == [1, 2, 3, 4, 5, 6]
    training = np.concatenate([mnist.validation.labels, mnist.train.labels])
    order = original.published_order("train", 60_000)
    assert training[order][:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]


def test_examples_decide_the_order(mnist):
    index = np.arange(20)
    order = original.published_order("test", 10_000)
    _, test = original.in_order(mnist, mnist.test.images[order][index], index)
    np.testing.assert_array_equal(test.labels, mnist.test.labels[order])
    _, test = original.in_order(mnist, mnist.test.images[index], index)
    np.testing.assert_array_equal(test.labels, mnist.test.labels)


@pytest.mark.parametrize(
    "part",
    [
        "models/example_classifier",
        "defensive_models/MNIST_II",
        "attack_data/example_idx.pkl",
    ],
)
def test_a_missing_part_is_named(part, golden_dir, tmp_path):
    shutil.copytree(golden_dir, tmp_path / "files")
    (tmp_path / "files" / part).unlink()
    with pytest.raises(legacy.LegacyError, match=part.split("/")[1]):
        original.load_parts(tmp_path / "files")


def test_missing_attacks_are_named(golden_dir, tmp_path):
    shutil.copytree(golden_dir, tmp_path / "files")
    for path in (tmp_path / "files/attack_data").glob("example_carlini_*"):
        path.unlink()
    with pytest.raises(legacy.LegacyError, match="example_carlini_<kappa>"):
        original.load_parts(tmp_path / "files")


@pytest.mark.parametrize("wrong", [-0.5, 5.0, np.nan])
def test_attacks_of_another_range_are_named(wrong, golden_dir, tmp_path):
    shutil.copytree(golden_dir, tmp_path / "files")
    path = tmp_path / "files/attack_data/example_carlini_10.0.pkl"
    examples = legacy.load_attack_data(path).copy()
    examples[0, 0, 0, 0] = wrong
    path.write_bytes(pickle.dumps(examples))
    with pytest.raises(legacy.LegacyError, match=r"carlini_10.0.pkl.*in \[0, 1\]"):
        original.load_parts(tmp_path / "files")


def test_without_mnist_it_says_what_to_do(golden_dir, tmp_path, monkeypatch):
    def missing(_):
        raise datasets.DatasetError("dataset 'mnist' could not be had")

    monkeypatch.setattr(datasets, "load", missing)
    with pytest.raises(datasets.DatasetError):
        original.run(golden_dir, tmp_path)
