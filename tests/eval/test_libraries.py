"""Attacks of Foolbox and ART by name; what runs them needs the libraries."""

import json
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from eval import libraries
from eval.grid import ATTACKS, Group, groups
from eval.libraries import LibraryError, listed, parsed

SWEPT = "foolbox:LinfFastGradientAttack(epsilon=[0.3,0.1])"


def test_a_list_is_not_taken_apart_inside_brackets():
    text = f"cw,{SWEPT},art:DeepFool, foolbox:X(a=(1,2),b='c')"
    assert listed(text.split(",")) == [
        "cw",
        SWEPT,
        "art:DeepFool",
        "foolbox:X(a=(1,2),b='c')",
    ]


def test_arguments_are_literals_and_one_list_is_swept():
    call = parsed("foolbox:FGSM(epsilon=[0.3, 0.1], random_start=True)")
    assert call[1:] == (
        "foolbox",
        "FGSM",
        {"random_start": True},
        ("epsilon", (0.1, 0.3)),
    )
    assert parsed("art:DeepFool")[1:] == ("art", "DeepFool", {}, None)


@pytest.mark.parametrize(
    "text",
    [
        "torchattacks:FGSM",
        "foolbox:",
        "foolbox:FGSM(0.1)",
        "foolbox:FGSM(epsilon=0.1",
        "foolbox:FGSM(epsilon=__import__('os').getcwd())",
        "foolbox:FGSM(**{'epsilon': 1})",
        "foolbox:FGSM(epsilon=[])",
        "foolbox:FGSM(epsilon=['a'])",
        "foolbox:FGSM(epsilon=[1],steps=[2])",
        "foolbox:a.b(epsilon=1)",
    ],
)
def test_what_is_no_attack_is_one_sentence(text):
    with pytest.raises(LibraryError, match="--attacks=.*expected"):
        parsed(text)


def test_a_library_that_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(libraries.LIBRARIES, "art", "eval.libraries.no_such_module")
    with pytest.raises(LibraryError, match=r"art's attacks need .*\.\[art\]"):
        libraries.register(["art:DeepFool"])
    assert "pip install '.[art]'" in libraries.list_of_attacks()


class Fake:
    """What stands in for a library."""

    PACKAGE, TITLE, ARGUMENTS, HIDDEN = "numpy", "Fake", {"epsilon"}, {"self"}

    def __init__(self, craft):
        self._craft, self.asked = craft, []

    def classes(self):
        class Step:
            def __init__(self, steps=1):
                """Takes steps."""

        return {"Step": Step}

    def rule(self, attack, arguments):
        return "Linf"

    def bounded(self, attack, asked):
        return "epsilon" in asked

    def crafting(self, name, arguments):
        self.asked.append((name, arguments))
        return self._craft


@pytest.fixture
def classifier() -> keras.Model:
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Input((4, 4, 1)), keras.layers.Flatten()]
    return keras.Sequential([*layers, keras.layers.Dense(3)])


@pytest.fixture
def images(classifier) -> tuple[np.ndarray, np.ndarray]:
    x = np.random.default_rng(0).random((5, 4, 4, 1), dtype=np.float32)
    return x, np.asarray(classifier(x)).argmax(axis=1)


@pytest.fixture
def run(monkeypatch, classifier, images):
    """Runs a made-up library's attack, and gives what it was asked for, too."""

    def run_it(craft, text="foolbox:Step(epsilon=[0.1,0.2])"):
        fake = Fake(craft)
        monkeypatch.setattr(libraries, "module", lambda library: fake)
        monkeypatch.delitem(ATTACKS, text, raising=False)
        libraries.register([text])
        [group] = groups([text], [0.0, 5.0], [], sweep=True)
        try:
            return ATTACKS[text].craft(classifier, *images, group), fake.asked, group
        finally:
            del ATTACKS[text]

    return run_it


def test_a_swept_argument_takes_the_confidences_place(run, classifier, images):
    x, labels = images
    results, asked, group = run(lambda model, x, labels: x[::-1])
    assert group.confidences == (0.1, 0.2)
    assert asked == [("Step", {"epsilon": 0.1}), ("Step", {"epsilon": 0.2})]
    success = np.asarray(classifier(x[::-1])).argmax(axis=1) != labels
    for result in results:
        np.testing.assert_array_equal(result["Linf"].success, success)
        np.testing.assert_allclose(
            result["Linf"].linf,
            np.where(success, np.abs(x[::-1] - x).max(axis=(1, 2, 3)), 0),
            rtol=1e-6,
        )


@pytest.mark.parametrize(
    "craft, said",
    [
        (lambda model, x, labels: x[:2], "shape"),
        (lambda model, x, labels: x * np.nan, "NaN"),
        (lambda model, x, labels: x + 1, "images are in"),
        (lambda model, x, labels: 1 / 0, "ZeroDivisionError"),
        (
            lambda model, x, labels: (
                model.set_weights([w + 1 for w in model.get_weights()]) or x
            ),
            "changed the classifier's weights",
        ),
    ],
)
def test_what_a_library_may_not_do_is_one_sentence(run, craft, said):
    with pytest.raises(LibraryError, match=said):
        run(craft)


def test_chance_depends_on_the_images_alone(run):
    def noisy(model, x, labels):
        noise = np.random.random(x.shape) + tf.random.uniform(x.shape).numpy()
        return (noise / 2).astype(np.float32)

    np.random.seed(7)
    before = np.random.get_state()[1].copy()
    one, two = (run(noisy)[0][0]["Linf"].adversarial for _ in range(2))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_unknown_names_and_arguments_are_one_sentence(run):
    with pytest.raises(LibraryError, match="no attack 'Leap'"):
        run(None, "foolbox:Leap")
    with pytest.raises(LibraryError, match="takes no 'eps'; it takes epsilon, steps"):
        run(None, "foolbox:Step(eps=0.1)")


# With the libraries

NAMES = [
    SWEPT,
    "foolbox:LinfBasicIterativeAttack(epsilon=0.2)",
    "foolbox:LinfDeepFoolAttack(steps=5)",
    "foolbox:DDNAttack(steps=10)",
    "foolbox:L2CarliniWagnerAttack(steps=5,binary_search_steps=2)",
    "art:FastGradientMethod(eps=0.2)",
    "art:ProjectedGradientDescent(eps=0.2,max_iter=5)",
]


@pytest.fixture(scope="module")
def installed():
    for name in ("foolbox", "art"):
        pytest.importorskip(name, reason=f"{name} is not installed")


def test_both_libraries_find_examples_within_their_epsilon(
    installed, classifier, images
):
    for text, key in ((SWEPT, "epsilon"), ("art:FastGradientMethod(eps=[0.1])", "eps")):
        libraries.register([text])
        attack = ATTACKS[text]
        assert attack.parameter == key and attack.bounded
        group = Group(text, None, attack.values)
        for value, found in zip(
            attack.values, attack.craft(classifier, *images, group), strict=True
        ):
            assert list(found) == ["Linf"]
            assert found["Linf"].linf.max() <= value + 1e-6
    free = ["foolbox:DDNAttack(steps=[5,9])", "art:DeepFool(epsilon=0.02)"]
    libraries.register(free)
    assert not any(ATTACKS[text].bounded for text in free)


def test_one_command_goes_on_after_a_kill(installed, tmp_path):
    """Five attacks of Foolbox and two of ART; killed when the third has its file."""
    command = [
        *(sys.executable, "-m", "eval.oblivious", f"--attacks={','.join(NAMES)}"),
        *("--num_examples=16", "--confidences=0", "--variants=D"),
        f"--output_dir={tmp_path}",
    ]
    first = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    written = "attacks/[!p]*.npz"  # not what is being written, partial-*.npz
    while first.poll() is None and len(list(tmp_path.glob(written))) < 3:
        time.sleep(0.05)
    first.kill()
    first.wait()
    done = {path: path.read_bytes() for path in tmp_path.glob(written)}
    assert 3 <= len(done) < len(NAMES) + 1
    subprocess.run(command, check=True, capture_output=True)
    rows = json.loads((tmp_path / "results.json").read_text())
    assert {row["attack"] for row in rows} == set(NAMES)
    assert len(rows) == len(NAMES) + 1  # one epsilon more
    swept = [row for row in rows if row["attack"] == SWEPT]
    assert [(row["parameter"], row["value"]) for row in swept] == [
        ("epsilon", 0.1),
        ("epsilon", 0.3),
    ]
    assert 0 < swept[1]["mean_linf"] <= 0.3 + 1e-6
    assert all(path.read_bytes() == content for path, content in done.items())
