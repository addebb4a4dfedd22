"""A defence in which all autoencoders of a pack are in use, instead of one of them."""

from collections.abc import Mapping, Sequence

import keras

from magnet_tf.detectors import ReconstructionDetector
from magnet_tf.errors import InputError
from magnet_tf.magnet import MagNet
from magnet_tf.reformers import Reformer


def all_active(
    classifier: keras.Model,
    packs: Mapping[str, Sequence[keras.Model]],
    exponents: Mapping[str, int],
) -> MagNet:
    """The uncalibrated MagNet in which every autoencoder of some packs is a detector.

    The defence that Carlini & Wagner attack (arXiv 1711.08478), as `test_defense.py` in
    carlini/MagNet builds it: of two packs of eight for MNIST, with p = 1 for the first and
    2 for the second. The first pack's first autoencoder reforms.

    Args:
        classifier: Keras model from images [N, H, W, C] in [0, 1] to logits [N, K].
        packs: {name: autoencoders}, such as {"I": pack.autoencoders} of a
            `PackedAutoencoder`, or models that `legacy.load_model` read.
        exponents: {name: p} of each pack's detectors.

    Returns:
        A MagNet whose detectors are named "I_0", "I_1" and so on.

    Raises:
        ValueError: there is no pack, a pack is empty, or `exponents` names other packs.
    """
    if not packs or not all(packs.values()):
        sizes = {name: len(models) for name, models in packs.items()}
        raise InputError(
            f"expected packs of at least one autoencoder each, got {sizes}."
        )
    if set(exponents) != set(packs):
        raise InputError(
            f"exponents must name the packs {sorted(packs)}, got {sorted(exponents)}."
        )
    detectors = {
        f"{name}_{index}": ReconstructionDetector(autoencoder, p=exponents[name])
        for name, autoencoders in packs.items()
        for index, autoencoder in enumerate(autoencoders)
    }
    reforming = next(iter(packs.values()))[0]
    return MagNet(classifier, Reformer(reforming), detectors)
