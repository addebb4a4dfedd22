"""What several tests share: the golden files, and the models and images in them."""

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

# Before TensorFlow is loaded, also for the processes that tests start: where pytest runs a
# process for each core, threads of each would only stand in each other's way.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")

import keras

from magnet_tf import datasets, legacy


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Weights drawn at random are the same in every run, those of fixtures too."""
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="session")
def golden_dir() -> Path:
    return Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def golden(golden_dir) -> dict[str, np.ndarray]:
    """The original worker's output, `magnet.npz`."""
    return dict(np.load(golden_dir / "magnet.npz"))


@pytest.fixture(scope="session")
def originals(golden_dir) -> SimpleNamespace:
    """The original's models: `classifier`, and the autoencoders `I` and `II`."""
    return SimpleNamespace(
        classifier=legacy.load_model(golden_dir / "models/example_classifier"),
        I=legacy.load_model(golden_dir / "defensive_models/MNIST_I"),
        II=legacy.load_model(golden_dir / "defensive_models/MNIST_II"),
    )


@pytest.fixture(scope="session")
def clean(golden_dir) -> datasets.Split:
    """The 40 test images of the golden files, and their labels."""
    archive = np.load(golden_dir / "images.npz")
    return datasets.Split(archive["images"].astype(np.float32) / 255, archive["labels"])


@pytest.fixture(scope="session")
def mnist() -> datasets.Dataset:
    try:
        return datasets.load("mnist")
    except datasets.DatasetError as error:
        pytest.skip(f"needs MNIST: {error}")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 16 kB, where one can be made."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be made here: {error}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)
