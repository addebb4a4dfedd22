"""The published classifiers, for any image size and number of classes. All give logits."""

import keras
from keras import layers

from magnet_tf.errors import InputError


def mnist_classifier(
    input_shape: tuple[int, int, int] = (28, 28, 1), num_classes: int = 10
) -> keras.Model:
    """MNIST's network in MagNet and C&W; `setup_mnist.py` in the originals.

    Args:
        input_shape: (H, W, C), H and W at least 16.
        num_classes: K.

    Returns:
        Untrained model from images [N, H, W, C] in [0, 1] to logits [N, K].

    Raises:
        ValueError: the images are too small.
    """
    check_size(input_shape, least=16)
    return keras.Sequential(
        [
            layers.Input(input_shape),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(200, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(200, activation="relu"),
            layers.Dense(num_classes),
        ],
        name="mnist_classifier",
    )


def cifar10_classifier(
    input_shape: tuple[int, int, int] = (32, 32, 3), num_classes: int = 10
) -> keras.Model:
    """CIFAR-10's all-convolutional network in MagNet, section 5.1.

    Args:
        input_shape: (H, W, C), H and W at least 30.
        num_classes: K.

    Returns:
        Untrained model from images [N, H, W, C] in [0, 1] to logits [N, K].

    Raises:
        ValueError: the images are too small.
    """
    check_size(input_shape, least=30)
    return keras.Sequential(
        [
            layers.Input(input_shape),
            layers.Conv2D(96, 3, activation="relu"),
            layers.Conv2D(96, 3, activation="relu"),
            layers.Conv2D(96, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(192, 3, activation="relu"),
            layers.Conv2D(192, 3, activation="relu"),
            layers.Conv2D(192, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(192, 3, activation="relu"),
            layers.Conv2D(192, 1, activation="relu"),
            layers.Conv2D(num_classes, 1, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(num_classes),
        ],
        name="cifar10_classifier",
    )


def check_size(input_shape: tuple[int, int, int], least: int) -> None:
    """Raises ValueError for images that the convolutions and pools leave nothing of."""
    if min(input_shape[:2]) < least:
        raise InputError(
            f"this architecture takes images of at least {least}x{least} pixels, got "
            f"{input_shape[0]}x{input_shape[1]}; bring a classifier of your own "
            "instead."
        )


PUBLISHED = {  # by the dataset that images are like
    "mnist": mnist_classifier,
    "fashion_mnist": mnist_classifier,
    "digits": mnist_classifier,
    "cifar10": cifar10_classifier,
}
