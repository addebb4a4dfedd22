"""Under another Keras backend: what works, and what says that it does not."""

import importlib.util
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import magnet_tf

pytestmark = pytest.mark.slow

CODE = """
import json, sys
sys.modules["tensorflow"] = None  # as where it is not installed
import magnet_cli, magnet_tf
from tests.magnet_tf import test_regularizers
from train import autoencoder

for case in [(256, "float32"), (256, "bfloat16"), (7, "float32")]:
    test_regularizers.test_is_the_strength_times_the_sum_over_the_batch(*case)
test_regularizers.test_is_part_of_the_loss_that_training_minimises()

images = magnet_tf.datasets.load("digits").test.images[:16]
magnet_cli.main(
    autoencoder.COMMAND, ["--structure=3", "--epochs=1", "--recipe=short", "--output=AE.keras"]
)
magnet = magnet_tf.zoo.load("digits", "D")
magnet.save("defended.keras")
verdict = magnet.judge(images)

del sys.modules["tensorflow"]
import attacks
from eval import oblivious

refusals = []
for refused in (
    lambda: attacks.carlini_wagner_l2(magnet.classifier, images, [0] * 16),
    lambda: magnet_cli.main(oblivious.COMMAND, ["--output_dir=runs"]),
):
    try:
        refused()
    except (attacks.InputError, SystemExit) as error:
        refusals.append(str(error))
print(json.dumps([verdict.logits.tolist(), verdict.passed.tolist(), refusals]))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("jax")


@pytest.fixture(scope="module")
def under_jax(folder):
    if importlib.util.find_spec("jax") is None:
        pytest.skip("needs jax, which the extra 'test' installs")
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=folder,
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),  # finds tests
        },
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_the_zoos_verdict_is_the_same(under_jax):
    images = magnet_tf.datasets.load("digits").test.images[:16]
    expected = magnet_tf.zoo.load("digits", "D").judge(images)
    logits, passed, *_ = under_jax
    np.testing.assert_allclose(logits, expected.logits, rtol=1e-4, atol=1e-3)
    np.testing.assert_array_equal(passed, expected.passed)


def test_what_is_saved_there_is_the_same_here(under_jax, folder):
    images = magnet_tf.datasets.load("digits").test.images[:16]
    loaded = magnet_tf.saved.load_defence(folder / "defended.keras").judge(images)
    expected = magnet_tf.zoo.load("digits", "D").judge(images)
    np.testing.assert_array_equal(loaded.logits, expected.logits)


def test_a_model_is_trained(under_jax, folder):
    card = json.loads((folder / "AE.json").read_text(encoding="utf-8"))
    assert 0 < card["validation_mse"] < 0.2


def test_attacks_and_evaluation_refuse_before_any_work(under_jax, folder):
    attack, evaluation = under_jax[2]
    assert attack.startswith("the attacks need TensorFlow's gradients")
    assert evaluation.startswith("eval.oblivious: the attacks need TensorFlow's")
    assert all("'jax'" in text and "\n" not in text for text in (attack, evaluation))
    assert not (folder / "runs").exists()
