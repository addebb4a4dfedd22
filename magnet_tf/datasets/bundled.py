"""The datasets that ship with the package, and need neither network nor preparation."""

import importlib.resources

import numpy as np

from magnet_tf.datasets.dataset import Dataset, Split, shuffled


def _arrays(name: str) -> dict[str, np.ndarray]:
    file = importlib.resources.files("magnet_tf").joinpath(f"data/{name}.npz")
    with file.open("rb") as opened:
        return dict(np.load(opened, allow_pickle=False))


def load_digits() -> Dataset:
    """The 1,797 digits as 28x28x1 images, split 1,097 / 300 / 400, always the same way.

    The UCI handwritten digits as scikit-learn distributes them (E. Alpaydin and C. Kaynak
    1998, https://doi.org/10.24432/C50P49, CC BY 4.0). The originals are 8x8 with values up to
    16; they are enlarged by linear interpolation, so that MNIST's architectures serve
    unchanged.
    """
    arrays = _arrays("digits")
    small, labels = arrays["images"] / 16, arrays["labels"].astype(np.int64)
    corners = np.linspace(-0.5, 7.5, 28)
    enlarge = np.stack(
        [np.interp(corners, np.arange(8), basis) for basis in np.eye(8)], axis=1
    )
    images = (enlarge @ small @ enlarge.T)[..., np.newaxis].astype(np.float32)
    mixed = shuffled(Split(images, labels))
    ends = zip([0, 1097, 1397], [1097, 1397, None])
    train, validation, test = (mixed.at(slice(*end)) for end in ends)
    return Dataset("digits", train, validation, test, num_classes=10)


def load_mnist_sample() -> Dataset:
    """1,000 of MNIST's test images and 1,000 of its validation images; none to train on.

    The first ones of each, as `load("mnist")` has them (Y. LeCun and C. Cortes, CC BY-SA 3.0,
    as Keras's documentation states). MNIST's models, in the zoo, are this dataset's.
    """
    arrays = _arrays("mnist_sample")

    def split(part: str) -> Split:
        images = arrays[f"x_{part}"][..., np.newaxis].astype(np.float32) / 255
        return Split(images, arrays[f"y_{part}"].astype(np.int64))

    validation = split("validation")
    return Dataset(
        "mnist_sample",
        validation.at(slice(0)),
        validation,
        split("test"),
        num_classes=10,
    )
