"""Two devices give what one gives; in a process of their own, which splits the processor."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

SCRIPT = """
import json
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)

import keras
from attacks import carlini_wagner_l2, elastic_net

def craft(attack, model, **settings):
    x = np.random.RandomState(0).uniform(size=(32, 8, 8, 1)).astype(np.float32)
    labels = np.asarray(model(x)).argmax(axis=1)
    found = attack(model, x, labels, **settings)
    return [
        np.array(field)
        for results in (found if isinstance(found, list) else [found])
        for result in (results.values() if isinstance(results, dict) else [results])
        for field in result
    ]

def build():
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.layers.Input((8, 8, 1)),
            keras.layers.Conv2D(8, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(4, kernel_initializer=keras.initializers.RandomNormal(stddev=1.0)),
        ]
    )

strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
model = build()
with strategy.scope():
    mirrored = build()
mirrored.set_weights(model.get_weights())

few = {"initial_const": 1.0, "max_iterations": 20, "binary_search_steps": 3}
same = {}
for name, attack, settings in [
    ("cw", carlini_wagner_l2, few),
    ("ead", elastic_net, few),
    ("cw primal-dual", carlini_wagner_l2, {"search": "primal_dual"}),
    ("ead primal-dual", elastic_net, {"search": "primal_dual"}),
    ("ead sweep", elastic_net, {"search": "primal_dual", "confidence": [0.0, 1.0, 2.0]}),
]:
    one = craft(attack, model, **settings)
    with strategy.scope():
        two = craft(attack, mirrored, **settings)
    assert any(field.any() for field in one)
    same[name] = all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
print(json.dumps(same))
"""


@pytest.fixture(scope="module")
def same() -> dict[str, bool]:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT], check=False, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "attack", ["cw", "ead", "cw primal-dual", "ead primal-dual", "ead sweep"]
)
def test_two_devices_give_what_one_gives(same, attack):
    assert same[attack]
