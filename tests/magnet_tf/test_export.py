"""A MagNet as a SavedModel: served by TensorFlow alone."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

import magnet_tf

SERVE = """
import sys
import numpy as np
import tensorflow as tf

serve = tf.saved_model.load("exported").signatures["serving_default"]
for count in (1, 5, 3):
    given = np.load("given.npz")
    outputs = serve(images=tf.constant(given["images"][:count]))
    for name, value in outputs.items():
        np.testing.assert_allclose(value, given[name][:count], atol=1e-5)
    assert set(outputs) == {"logits", "passed", "marks_I", "marks_JSD"}, set(outputs)
assert "magnet_tf" not in sys.modules
"""


@pytest.mark.slow
def test_savedmodel_without_this_project(tmp_path):
    shape = (12, 10, 3)
    keras.utils.set_random_seed(0)
    # other images calibrate: no mark then lies on its threshold, where rounding decides
    images, others = np.random.default_rng(0).random((2, 5, *shape), dtype=np.float32)
    classifier = keras.Sequential(
        [layers.Input(shape), layers.Flatten(), layers.Dense(20)]
    )
    autoencoder = magnet_tf.autoencoders.denoising_autoencoder([3], shape)
    magnet = magnet_tf.MagNet(
        classifier,
        magnet_tf.Reformer(autoencoder),
        {
            "I": magnet_tf.ReconstructionDetector(autoencoder),
            "JSD": magnet_tf.DivergenceDetector(autoencoder, classifier),
        },
    )
    with pytest.raises(magnet_tf.NotCalibratedError):
        magnet.export(tmp_path / "exported")
    magnet.calibrate(others, {"I": 0.4, "JSD": 0.4})
    magnet.export(tmp_path / "exported")

    verdict = magnet.judge(images)
    np.savez(
        tmp_path / "given.npz",
        images=images,
        logits=verdict.logits,
        passed=verdict.passed,
        **{f"marks_{name}": marks for name, marks in verdict.marks.items()},
    )
    subprocess.run([sys.executable, "-c", SERVE], cwd=tmp_path, check=True)
