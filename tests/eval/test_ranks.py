"""The ranking of attacks: what is counted, what is kept, what is said."""

import json
import re
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

import magnet_cli
from eval import ranks
from eval.ranking import measurements, models, report
from eval.ranking.contenders import CONTENDERS
from eval.ranking.counted import Counted
from eval.ranking.measurements import Name
from magnet_tf import datasets, zoo
from train.recipes import Recipe

COUNT = 16


@pytest.fixture(scope="module")
def classifier() -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Input((6, 6, 1)), keras.layers.Flatten()]
    linear = keras.Sequential([*layers, keras.layers.Dense(4)])
    weights = np.random.default_rng(0).standard_normal((36, 4))
    linear.set_weights([weights, -weights.sum(axis=0) / 2])  # 0 at the middle grey
    return linear


@pytest.fixture(scope="module")
def images(classifier) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).random((COUNT, 6, 6, 1), dtype=np.float32)
    return x, np.asarray(classifier(x)).argmax(axis=1)


def test_passes_are_counted_in_a_graph_and_outside(classifier, images):
    x = tf.constant(images[0])
    counted = Counted(classifier, COUNT)
    np.testing.assert_allclose(counted(x), classifier(x), atol=1e-4)
    assert counted.passes == (1, 0)
    counted(x[:8])
    assert counted.passes == (1.5, 0)
    counted(tf.concat([x, x], 0))  # filled up
    assert counted.passes == (2.5, 0)

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(counted(x) ** 2)
        return tape.gradient(loss, x)

    first = gradient(x)
    assert counted.passes == (3.5, 1)

    @tf.function
    def three_times(x):
        total = tf.zeros_like(x)
        for _ in tf.range(3):
            total += gradient(x)
        return total

    np.testing.assert_allclose(three_times(x), 3 * first, rtol=1e-3, atol=1e-3)
    assert counted.passes == (6.5, 4)


@pytest.mark.parametrize("key", CONTENDERS)
def test_a_contender_keeps_its_budget(classifier, images, key):
    contender = CONTENDERS[key]
    if "ART" in contender.title:
        pytest.importorskip("art", reason="the extra `bench` is not installed")
    elif "FMN" in contender.title or "Foolbox" in contender.title:
        pytest.importorskip("foolbox", reason="the extra `bench` is not installed")
    budget = 20 if contender.slow else 27
    found = measurements.measured(contender, classifier, *images, budget)
    assert len(found["distances"]) == COUNT
    if contender.slow:  # asks for all images where it needs the gradients of some
        assert found["backward"] >= 2
        return
    own = key in (
        "l1",
        "l2",
        "cw",
        "ead",
    )  # ours look first whether there is a gradient
    assert 0 < found["backward"] <= budget + own
    once = 2 if key.endswith("ead") else 1  # at y and at x
    beyond = 5  # of what is asked before and after the iterations
    assert found["forward"] <= once * found["backward"] + beyond


def test_distances_are_those_of_what_fools_the_classifier(classifier, images):
    x, labels = images
    moved = np.where(np.arange(COUNT)[:, None, None, None] < 3, 1 - x, x)
    contender = CONTENDERS["l1"]._replace(craft=lambda *_: moved.astype(np.float32))
    found = measurements.measured(contender, classifier, x, labels, 9)
    fooled = np.array(classifier(moved)).argmax(axis=1) != labels
    own = np.abs(moved.astype(np.float64) - x).reshape(COUNT, -1).sum(axis=1)
    for of, success, length in zip(found["distances"], fooled, own):
        assert of == (pytest.approx(length, rel=1e-5) if success else None)
    assert fooled.any() and not fooled.all()
    assert (found["forward"], found["backward"]) == (0, 0)


def test_foolboxs_fmn_is_projected(images):
    foolbox = pytest.importorskip(
        "foolbox", reason="the extra `bench` is not installed"
    )
    seen = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "eval.ranking.contenders._asked_of_foolbox",
            lambda attack, *_: seen.update(attack=attack),
        )
        CONTENDERS["fmn-projected"].craft(None, *images, 10)
    import eagerpy

    x = eagerpy.astensor(tf.constant(images[0]))
    epsilon = eagerpy.ones(x, COUNT)
    projected = seen["attack"].project(x + 0.5, x, epsilon) - x
    lengths = np.linalg.norm(projected.numpy().reshape(COUNT, -1), axis=1)
    np.testing.assert_allclose(lengths, 1, rtol=1e-4)
    inside = seen["attack"].project(x + 0.01, x, epsilon) - x
    np.testing.assert_allclose(inside.numpy(), 0.01, atol=1e-6)
    assert isinstance(seen["attack"], foolbox.attacks.L2FMNAttack)


def test_slow_attacks_have_the_least_budget_on_each_model(tmp_path):
    bench = measurements.Bench(tmp_path, 4)
    names = [Name.of(key) for key in measurements.jobs(bench, [50, 20], models.MODELS)]
    assert len(set(names)) == len(names)
    slow = {name for name in names if CONTENDERS[name.contender].slow}
    assert {name.gradients for name in slow} == {20}
    assert {name.model for name in slow} == set(models.MODELS)
    quick = [key for key, of in CONTENDERS.items() if not of.slow]
    assert len(names) - len(slow) == len(models.MODELS) * 2 * len(quick)


def test_images_are_those_that_the_classifier_gets_right():
    classifier = zoo.load("digits", "D").classifier
    x, labels = models.attacked(classifier, "digits", COUNT)
    assert x.shape == (COUNT, 28, 28, 1)
    np.testing.assert_array_equal(np.array(classifier(x)).argmax(axis=1), labels)
    again, _ = models.attacked(classifier, "digits", COUNT // 2)
    np.testing.assert_array_equal(again, x[: COUNT // 2])


def test_noisy_images_are_trained_on_once(tmp_path):
    data = datasets.load("digits")
    model = models.MODELS["noisy"]
    recipe, path = (
        Recipe(epochs=1, batch_size=128, peak_rate=1e-3),
        tmp_path / "a.keras",
    )
    first = models.trained(model, data, recipe, path)
    again = models.trained(model, data, recipe, path)
    assert first.fingerprint == again.fingerprint
    assert first.card["noise"] == models.NOISE and "test_accuracy" in first.card
    wide = models.wide_classifier()
    assert wide.layers[-2].units == 1024 and wide.output_shape == (None, 10)


def measured_at(*distances: float | None) -> dict:
    return {
        "distances": list(distances),
        "forward": 20.0,
        "backward": 10.0,
        "seconds": 1,
    }


RESULTS = {
    "mnist l2 20": measured_at(1.5, 2.0, 2.5),
    "mnist ddn 20": measured_at(2.0, 2.0, None),
    "mnist l2 50": measured_at(1.0, 2.0, 2.5),
    "cifar10 l1 20": measured_at(1.0, 5.0),
    "cifar10 ead 20": measured_at(3.0, None),
}


def test_the_table_says_optimality_success_and_distance():
    text = re.sub(" +", " ", report.table(RESULTS))
    assert (
        "| minimum_norm | MNIST | **0.750** (100%, 2) | **1.000** (100%, 2) | 20 + 10 |"
        in text
    )
    assert "| Foolbox DDN | MNIST | 0.500 (67%, 2) | – | 20 + 10 |" in text
    assert "| EAD, exact | CIFAR-10 | 0.500 (50%, inf) | – | 20 + 10 |" in text
    assert text.index("L1: optimality") < text.index("CIFAR-10") < text.index("L2:")


def test_the_figure_has_a_panel_for_each_norm_and_model():
    drawn = report.figure(RESULTS)
    assert [axis.get_title() for axis in drawn.axes] == 2 * ["MNIST", "CIFAR-10"]
    line = drawn.axes[2].get_lines()[0]
    assert list(line.get_xdata()) == [30, 30] and list(line.get_ydata()) == [0.75, 1.0]


@pytest.fixture
def libraries(monkeypatch):
    for module in ("art", "foolbox"):
        monkeypatch.setitem(sys.modules, module, SimpleNamespace())


def test_a_second_run_measures_only_what_is_missing(tmp_path, monkeypatch, libraries):
    measured = []

    def measure(self, name):
        measured.append(name)
        if len(measured) == 3:
            raise KeyboardInterrupt
        return measured_at(*np.random.default_rng(len(measured)).uniform(1, 2, 5))

    monkeypatch.setattr(measurements.Bench, "measure", measure)
    args = ["--models=mnist", "--budgets=20", f"--output_dir={tmp_path}"]
    with pytest.raises(SystemExit, match="interrupted; the same command goes on"):
        magnet_cli.main(ranks.COMMAND, args)
    magnet_cli.main(ranks.COMMAND, args)
    assert len(measured) == len(CONTENDERS) + 1 and measured[2] == measured[3]
    magnet_cli.main(ranks.COMMAND, [*args[:1], "--budgets=20,30", args[2]])
    quick = sum(not of.slow for of in CONTENDERS.values())
    assert len(measured) == len(CONTENDERS) + 1 + quick
    kept = json.loads((tmp_path / "ranks.json").read_text())
    assert len(kept["results"]) == len(CONTENDERS) + quick
    assert (tmp_path / "ranks.png").stat().st_size > 1000
    with pytest.raises(SystemExit, match="other settings; choose another"):
        magnet_cli.main(ranks.COMMAND, [*args, "--num_examples=5"])


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--models=mnist,imagenet", "--models: there is no model 'imagenet'"),
        ("--budgets=200,x", "--budgets: expected whole numbers of at least 20"),
        ("--budgets=19", "--budgets: expected whole numbers of at least 20"),
        ("--num_examples=1", "--num_examples"),
    ],
)
def test_bad_flags(flag, message, tmp_path, libraries):
    with pytest.raises(SystemExit) as raised:
        magnet_cli.main(ranks.COMMAND, [flag, f"--output_dir={tmp_path / 'results'}"])
    assert message in str(raised.value) and not (tmp_path / "results").exists()


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "foolbox", None)
    with pytest.raises(SystemExit, match=r"pip install '.\[bench\]'"):
        magnet_cli.main(ranks.COMMAND, [])
