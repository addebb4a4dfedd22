"""Files of adversarial examples, judged: the original's demo, and others'."""

import contextlib
import csv
import io
import json
import pickle
import re
import shutil

import keras
import numpy as np
import pytest

import magnet_cli
import magnet_tf
from eval import judging, original, published_mnist
from eval.published_mnist import in_order, in_published_order
from magnet_tf import datasets
from magnet_tf.errors import UserError
from magnet_tf.outcomes import Outcome
from tests.command_line import of

RNG = np.random.default_rng(0)


def judge(**args) -> list[dict]:
    """What the command does with these flags."""
    return judging.judge(magnet_cli.parsed(original.COMMAND, of(**args)))


@pytest.fixture
def mnist_at_hand(mnist, monkeypatch):
    """MNIST is read once for all tests."""
    monkeypatch.setattr(datasets, "load", lambda name: mnist)


@pytest.fixture(
    scope="module", params=[pytest.param("D", marks=pytest.mark.slow), "D+JSD"]
)
def demo(request, golden_dir, mnist, tmp_path_factory):
    """The demo with a variant: its name, its rows and the lines that it prints.

    With D+JSD, of the clean test images only the 40 that are attacked; for all of them see
    the defence's own tests.
    """
    folder, printed = tmp_path_factory.mktemp("demo"), io.StringIO()

    def few(*args):
        validation, test, attacked = published_mnist.load_mnist(*args)
        return published_mnist.MNIST(validation, test.at(attacked), np.arange(40))

    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.setattr(datasets, "load", lambda name: mnist)
        if request.param == "D+JSD":
            patch.setattr(judging, "load_mnist", few)
        rows = judge(
            data_dir=golden_dir, variant=request.param, output_dir=folder / "out"
        )
    return request.param, rows, printed.getvalue().splitlines()


def accuracies(row) -> list[float]:
    """In the golden files' order."""
    return [row[f"accuracy_{key}"] for key in ("both", "detector", "reformer", "none")]


def test_the_demo_gives_the_originals_accuracies(demo, golden):
    variant, rows, _ = demo
    assert [row["confidence"] for row in rows] == [0, 10]
    for row in rows:
        key = f"{variant}/cw{row['confidence']:g}_acc_both_det_ref_none"
        assert accuracies(row) == pytest.approx(golden[key])


def passing(golden, variant: str, images: str) -> dict[str, np.ndarray]:
    """Which of the 40 images, "marks" or "marks_adv10", pass the original's detectors."""
    names = ["I", "II"] + (["JSD10", "JSD40"] if variant == "D+JSD" else [])
    return {
        name: golden[f"{images}_{name.replace('JSD', 'JSD_T')}"]
        < golden[f"{variant}/threshold_{name.replace('JSD', 'J')}"]
        for name in names
    }


def test_the_demo_prints_the_originals_lines(demo, golden):
    variant, _, printed = demo
    rates = {"I": 0.001, "II": 0.001}
    if variant == "D+JSD":
        rates |= {"JSD10": 0.01, "JSD40": 0.01}
    assert f"Drop Rate: {rates}" in printed
    said = dict(line.split(": ", 1) for line in printed if ": " in line)
    clean = said["Clean test images"]
    if variant == "D":
        count = golden["D/clean_all_pass_count"]
        assert clean.startswith(f"{count} of 10000 pass all detectors; ")
        both, detectors, reformer, none = golden["D/clean_acc_both_det_ref_none"]
        accuracy = float(said["Classification accuracy with all defense on"])
        assert accuracy == pytest.approx(both)
        shown = [float(share) / 100 for share in re.findall(r"([\d.]+)%", clean)]
        assert shown == pytest.approx([none, detectors, reformer, both])
    else:
        count = np.all(list(passing(golden, variant, "marks").values()), axis=0).sum()
        assert clean.startswith(f"{count} of 40 pass all detectors; ")

    at = printed.index("Confidence: 10.0")
    assert printed[at + 1] == str(
        {
            name: int(passed.sum())
            for name, passed in passing(golden, variant, "marks_adv10").items()
        }
    )
    for kappa in (0, 10):
        count = len(golden[f"{variant}/cw{kappa}_pass"])
        line = printed[printed.index(f"Confidence: {kappa:.1f}") + 2]
        assert line.startswith(f"{count} of 40 pass all detectors; ")


def test_rows_have_the_attacks_own_distances(demo, golden_dir):
    """As C&W's code gave them; the images that it failed on are grey."""
    _, rows, _ = demo
    golden = json.loads((golden_dir / "attacks.json").read_text())["carlini_wagner_l2"]
    for row, expected in zip(rows, golden, strict=True):
        assert row["success_undefended"] == expected["succeeded"] / expected["of"]
        assert row["mean_l2"] == pytest.approx(expected["mean_l2"], rel=1e-4)
        assert row["mean_l1"] == pytest.approx(expected["mean_l1"], rel=1e-4)
        assert (row["dataset"], row["attack"], row["rule"]) == ("mnist", "cw", "L2")


# A small defence of a user's own, and files of theirs


SHAPE = (8, 8, 1)
IMAGES = RNG.random((12, *SHAPE), dtype=np.float32)
LABELS = RNG.integers(0, 3, 12)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The path of a calibrated MagNet in a file."""
    keras.utils.set_random_seed(0)
    flat = [keras.layers.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(3)]
    autoencoder = magnet_tf.autoencoders.denoising_autoencoder([2], SHAPE)
    magnet = magnet_tf.MagNet(
        keras.Sequential(flat),
        magnet_tf.Reformer(autoencoder),
        {"I": magnet_tf.ReconstructionDetector(autoencoder)},
    )
    magnet.calibrate(RNG.random((40, *SHAPE), dtype=np.float32), {"I": 0.3})
    path = tmp_path_factory.mktemp("own") / "mine.keras"
    magnet.save(path)
    return path


def saved(path, images=IMAGES, labels=LABELS):
    """A file of examples of the kind that its suffix says, and where its labels are."""
    if path.suffix == ".npz":
        np.savez(path, images=images, labels=labels)
        return {"examples": [str(path)]}
    if path.suffix == ".npy":
        np.save(path, images)
    else:
        path.write_bytes(pickle.dumps(images))
    np.save(path.with_name("labels.npy"), labels)
    return {"examples": [str(path)], "labels": path.with_name("labels.npy")}


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".pkl"])
def test_whoever_has_examples_has_them_judged(suffix, own, tmp_path, capsys):
    """By a defence of their own, as the library judges them."""
    files = saved(tmp_path / f"ead_l1_7.5{suffix}")
    (row,) = judge(defence=own, **files, output_dir=tmp_path / "out")
    outcome = Outcome.of(magnet_tf.saved.load_defence(own), IMAGES, LABELS)
    for key, value in outcome.accuracies(attacked=True)._asdict().items():
        assert row[f"accuracy_{key}"] == value
    assert row["asr"] == 1 - row["accuracy_both"]
    assert row["asr_low"] <= row["asr"] <= row["asr_high"]
    assert row["success_undefended"] == 1 - row["accuracy_none"]
    assert (row["variant"], row["attack"], row["confidence"]) == ("mine", "ead_l1", 7.5)
    assert row["num_examples"] == 12
    unknown = ("dataset", "rule", "beta", "mean_l2", "clean_accuracy_both", "seed")
    assert [row[key] for key in unknown] == [None] * len(unknown)
    passing = {"I": int(outcome.passed.sum())}
    assert f"Confidence: 7.5\n{passing}\n" in capsys.readouterr().out

    written = json.loads((tmp_path / "out/results.json").read_text())
    assert written == [row]
    with (tmp_path / "out/results.csv").open(newline="") as file:
        (line,) = csv.DictReader(file)
    assert line["accuracy_both"] == str(row["accuracy_both"]) and line["rule"] == ""
    assert (tmp_path / "out/defense_performance.png").stat().st_size > 10_000


def test_without_a_confidence_there_is_no_figure(own, tmp_path):
    (row,) = judge(
        defence=own, **saved(tmp_path / "mine.npz"), output_dir=tmp_path / "o"
    )
    assert row["confidence"] is None and row["attack"] == "mine"
    assert not (tmp_path / "o/defense_performance.png").exists()


def test_files_are_sorted_by_confidence(own, tmp_path):
    names = ["ead_2", "a_10", "a_9.5"]
    examples = [saved(tmp_path / f"{name}.npz")["examples"][0] for name in names]
    rows = judge(defence=own, examples=examples, output_dir=tmp_path / "out")
    read = [(row["attack"], row["confidence"]) for row in rows]
    assert read == [("a", 9.5), ("a", 10), ("ead", 2)]
    figure = judging.figure(rows)
    assert [axis.get_title() for axis in figure.axes] == ["a", "ead"]


def test_drop_rates_and_labels_of_ones_own(
    golden_dir, mnist, mnist_at_hand, tmp_path, monkeypatch, capsys
):
    """Thresholds are set on the first images that MNIST is published in; here on 200."""

    def first(dataset):
        validation, test = in_published_order(dataset)
        np.testing.assert_array_equal(validation.labels[:5], [5, 0, 4, 1, 9])
        return [
            datasets.Split(split.images[:200], split.labels[:200])
            for split in (validation, test)
        ]

    monkeypatch.setattr(published_mnist, "in_published_order", first)
    files = saved(
        tmp_path / "clean.npz", mnist.test.images[:30], mnist.test.labels[:30]
    )
    rates = ["II=0.3", "I=0.005"]
    (row,) = judge(
        data_dir=golden_dir, drop_rates=rates, **files, output_dir=tmp_path / "out"
    )
    assert row["accuracy_none"] > 0.9 and row["clean_accuracy_none"] > 0.9
    printed = capsys.readouterr().out
    assert "Drop Rate: {'I': 0.005, 'II': 0.3}" in printed
    passing, of_all = (
        printed.split("Clean test images: ")[1].split(" pass ")[0].split(" of ")
    )
    assert of_all == "200" and 110 < int(passing) < 170


# What cannot be judged: one sentence, and nothing written


def refused(*parts, output_dir, **args):
    with pytest.raises(UserError) as caught:
        judge(output_dir=output_dir, **args)
    message = str(caught.value)
    for part in parts:
        assert part in message
    assert "\n" not in message and not output_dir.exists()


BAD_IMAGES = {
    "another shape": (RNG.random((12, 9, 8, 1), dtype=np.float32), "(8, 8, 1)", "(9, 8, 1)"),
    "one image": (IMAGES[0], "[N, H, W, C]", "shape (8, 8, 1)"),
    "none": (IMAGES[:0], "[N, H, W, C]", "shape (0, 8, 8, 1)"),
    "NaN": (np.where(IMAGES > 0.9, np.nan, IMAGES), "NaN", "[0, 1]"),
    "centred": (IMAGES - 0.5, "[0, 1]", "add 0.5"),
    "too bright": (IMAGES * 255, "[0, 1]", "rescale"),
    "8 bits": ((IMAGES * 255).astype(np.uint8), "uint8", "divide"),
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".pkl"])
@pytest.mark.parametrize("case", BAD_IMAGES)
def test_images_that_are_none(case, suffix, own, tmp_path):
    images, *parts = BAD_IMAGES[case]
    files = saved(tmp_path / f"bad_1{suffix}", images)
    refused(f"bad_1{suffix}", *parts, defence=own, **files, output_dir=tmp_path / "o")


BAD_LABELS = {
    "another length": (LABELS[:11], "each of 12 images", "(11,)"),
    "one-hot": (np.eye(3)[LABELS], "argmax(axis=1)"),
    "floats": (LABELS.astype(np.float32), "integers", "float32"),
    "negative": (LABELS - 1, "at least 0", "got -1"),
    "unknown class": (LABELS + 1, "0..2", "got 3"),
    "text": (np.array(["a"] * 12), "integers"),
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
@pytest.mark.parametrize("case", BAD_LABELS)
def test_labels_that_are_none(case, suffix, own, tmp_path):
    labels, *parts = BAD_LABELS[case]
    files = saved(tmp_path / f"bad_1{suffix}", labels=labels)
    refused(*parts, defence=own, **files, output_dir=tmp_path / "o")


def test_files_that_hold_something_else(own, tmp_path):
    given = {"defence": own, "output_dir": tmp_path / "o"}
    refused("no such file", examples=[str(tmp_path / "x.npz")], **given)
    path = tmp_path / "x.npz"
    np.savez(path, x_adv=IMAGES, y=LABELS)
    refused("x.npz", "['x_adv', 'y']", "np.savez", examples=[str(path)], **given)
    np.savez(path, images=np.array([None, IMAGES], object), labels=LABELS)
    refused("x.npz", "allow_pickle=False", examples=[str(path)], **given)
    whole = saved(path)["examples"]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    refused("x.npz", "damaged", examples=whole, **given)
    np.save(tmp_path / "x.npy", IMAGES)
    refused(
        "x.npy has no labels", "--labels", examples=[str(tmp_path / "x.npy")], **given
    )
    path = tmp_path / "x.mat"
    path.write_bytes(b"MATLAB")
    refused("x.mat must be a .npy or .pkl", examples=[str(path)], **given)
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps({"images": IMAGES}))
    refused("x.pkl", "holds a dict", examples=[str(path)], **given)


def test_flags_that_do_not_say_what(own, golden_dir, tmp_path):
    given = {"output_dir": tmp_path / "o"}
    refused("--data_dir", "--defence", **given)
    refused("--examples=FILE is missing", defence=own, **given)
    refused("--variant", "--defence", defence=own, variant="D", **given)
    refused("--drop_rates", "--defence", defence=own, drop_rates=["I=0.1"], **given)
    refused("'D+JSD'", "D+JSD", data_dir=golden_dir, variant="'D+JSD'", **given)
    for rate in ("I", "I=", "I=x", "I=1", "I=-0.1", "I=nan", "JSD10=0.1"):
        refused(
            "--drop_rates", repr(rate), "I=0.001,II=0.001",
            data_dir=golden_dir, drop_rates=[rate], **given,
        )  # fmt: skip
    refused("(8, 8, 1)", "(28, 28, 1)", data_dir=golden_dir, defence=own, **given)


def test_a_classifier_that_gives_no_logits(own, tmp_path):
    magnet = magnet_tf.saved.load_defence(own)
    kernel = magnet.classifier.layers[-1].kernel
    kernel.assign(np.full(kernel.shape, np.nan))
    magnet.save(tmp_path / "nan.keras")
    files = saved(tmp_path / "x_1.npz")
    refused(
        "x_1.npz",
        "NaN",
        defence=tmp_path / "nan.keras",
        **files,
        output_dir=tmp_path / "o",
    )


def test_results_of_other_settings_stay(own, tmp_path):
    one, two = saved(tmp_path / "one_1.npz"), saved(tmp_path / "two_1.npz")
    judge(defence=own, **one, output_dir=tmp_path / "out")
    before = (tmp_path / "out/results.json").read_bytes()
    with pytest.raises(UserError, match="two_1.npz.*choose another output directory"):
        judge(defence=own, **two, output_dir=tmp_path / "out")
    assert (tmp_path / "out/results.json").read_bytes() == before


# The original's folder


@pytest.fixture
def folder(golden_dir, tmp_path):
    return shutil.copytree(golden_dir, tmp_path / "files")


@pytest.mark.parametrize(
    "part",
    [
        "models/example_classifier",
        "defensive_models/MNIST_II",
        "attack_data/example_idx.pkl",
    ],
)
def test_a_missing_part_is_named(part, folder, mnist_at_hand, tmp_path):
    (folder / part).unlink()
    refused(part, "no such file", data_dir=folder, output_dir=tmp_path / "o")


def test_missing_attacks_are_named(folder, tmp_path):
    for path in (folder / "attack_data").glob("example_carlini_*"):
        path.unlink()
    refused(
        "example_carlini_<kappa>",
        "--examples",
        data_dir=folder,
        output_dir=tmp_path / "o",
    )


def test_a_variant_needs_its_own_autoencoders(folder, tmp_path):
    refused(
        "defensive_models/MNIST_I-256", "no such file",
        data_dir=folder, variant="D+256", output_dir=tmp_path / "o",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("index", "part"),
    [
        (np.arange(39), "the 39 indices"),
        (np.arange(40) + 9_990, "from 9990 to 10029"),
        (np.arange(40) - 1, "from -1 to 38"),
        (np.linspace(0, 1, 40), "float64"),
        (np.zeros((40, 2), int), "shape (40, 2)"),
        (np.zeros(0, int), "the 0 indices"),
    ],
)
def test_an_index_of_another_kind(index, part, folder, mnist_at_hand, tmp_path):
    path = folder / "attack_data/example_idx.pkl"
    path.write_bytes(pickle.dumps(index))
    refused("example_idx.pkl", part, data_dir=folder, output_dir=tmp_path / "o")


def test_without_mnist_it_says_what_to_do(golden_dir, tmp_path, monkeypatch):
    def missing(_):
        raise datasets.DatasetError("dataset 'mnist' could not be had")

    monkeypatch.setattr(datasets, "load", missing)
    refused("could not be had", data_dir=golden_dir, output_dir=tmp_path / "o")


# MNIST's order


def test_the_published_order_is_recovered(mnist):
    order = datasets.published_order("test", 10_000)
    # as every copy of the published t10k-labels file begins and ends
    assert mnist.test.labels[order][:20].tolist() == [
        7, 2, 1, 0, 4, 1, 4, 9, 5, 9, 0, 6, 9, 0, 1, 5, 9, 7, 3, 4,
    ]  # fmt: skip
    assert mnist.test.labels[order][-6:].tolist() == [1, 2, 3, 4, 5, 6]
    training = np.concatenate([mnist.validation.labels, mnist.train.labels])
    order = datasets.published_order("train", 60_000)
    assert training[order][:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]


def test_examples_decide_the_order(mnist):
    index = np.arange(20)
    order = datasets.published_order("test", 10_000)
    _, test = in_order(mnist, mnist.test.images[order][index], index)
    np.testing.assert_array_equal(test.labels, mnist.test.labels[order])
    _, test = in_order(mnist, mnist.test.images[index], index)
    np.testing.assert_array_equal(test.labels, mnist.test.labels)
