"""The originals' activity regularizer against sums by NumPy; `test_jax` runs some, too."""

import keras
import numpy as np
import pytest

from magnet_tf.autoencoders import denoising_autoencoder
from magnet_tf.regularizers import BatchL1L2

SHAPE = (12, 8, 1)
DTYPES = ["float32", "bfloat16", "mixed_bfloat16", "mixed_float16"]
CASES = [(size, dtype) for size in (1, 7, 256) for dtype in DTYPES]


def to_float64(tensor) -> np.ndarray:
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32")).astype(float)


def penalty_and_sum(batch_size: int, dtype: str) -> tuple[float, float]:
    """What a model's loss gains by its regularizers, and what NumPy says it should."""
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(dtype)
    try:
        model = denoising_autoencoder([3, "average", 3], SHAPE)
    finally:
        keras.config.set_dtype_policy("float32")
    convolutions = [i for i in model.layers if isinstance(i, keras.layers.Conv2D)]
    inner = keras.Model(model.inputs[0], [layer.output for layer in convolutions])
    x = np.random.default_rng(1).random((batch_size, *SHAPE), dtype=np.float32)
    squares = [np.sum(to_float64(a) ** 2) for a in inner(x)]
    model(x)
    return sum(float(to_float64(one)) for one in model.losses), 1e-9 * sum(squares)


@pytest.mark.parametrize(("batch_size", "dtype"), CASES)
def test_is_the_strength_times_the_sum_over_the_batch(batch_size, dtype):
    penalty, expected = penalty_and_sum(batch_size, dtype)
    assert penalty == pytest.approx(expected, rel=1e-5, abs=0)


def test_is_part_of_the_loss_that_training_minimises():
    """In a Sequential model, where it stands beside a loss that is a mean."""
    x = np.random.default_rng(2).random((6, 5), dtype=np.float32)
    dense = keras.layers.Dense(
        5, kernel_initializer="identity", activity_regularizer=BatchL1L2(0.5, 0.25)
    )
    model = keras.Sequential([keras.layers.Input((5,)), dense])
    model.compile(keras.optimizers.SGD(0.0), "mean_squared_error")
    expected = 0.5 * np.sum(x, dtype=float) + 0.25 * np.sum(x.astype(float) ** 2)
    loss = model.train_on_batch(x, x + np.float32(1))
    assert float(loss) == pytest.approx(1 + expected, rel=1e-5)


def test_is_saved_with_its_model(tmp_path):
    model = denoising_autoencoder([2], SHAPE, activity_l2=3e-9)
    model.save(tmp_path / "autoencoder.keras")
    layer = keras.saving.load_model(tmp_path / "autoencoder.keras").layers[1]
    assert type(layer.activity_regularizer) is BatchL1L2
    assert float(layer.activity_regularizer.l2) == pytest.approx(3e-9)


def test_models_with_keras_own_still_load(tmp_path):
    layer = keras.layers.Dense(2, activity_regularizer=keras.regularizers.L2(1e-9))
    model = keras.Sequential([keras.layers.Input((3,)), layer])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras").layers[0]
    assert type(again.activity_regularizer) is keras.regularizers.L2
