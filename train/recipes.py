"""Training recipes, as data. The published ones, apart from the digits'."""

import dataclasses
import math
from collections.abc import Sequence

from magnet_tf.datasets import Dataset


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Attributes:
        epochs: passes over the training images.
        batch_size: images a step.
        augment: whether images are shifted by up to a tenth and flipped at random.
        cutout: side, in pixels, of the square that is then blanked in each image; None: none.
        peak_rate: Adam's first learning rate, which then falls to zero along half a cosine;
            None: the published optimizer.
        weight_decay: with Adam, a step takes this times its rate of each weight away
            (Loshchilov & Hutter, ICLR 2019); None: nothing.
        bfloat16: whether all but the last layer compute in bfloat16, which processors with
            matrix units for it do several times faster, on machines where that is so; the
            weights stay in float32.
        normalised: whether it starts from `train.start.normalise`.
        activity_l2: weight of an image's squared activations in an autoencoder's loss, beside
            its mean squared error.
    """

    epochs: int
    batch_size: int
    augment: bool = False
    cutout: int | None = None
    peak_rate: float | None = None
    weight_decay: float | None = None
    bfloat16: bool = False
    normalised: bool = False
    activity_l2: float = 0.0

    def at_most(self, steps: int, images: int) -> "Recipe":
        """The recipe with no more epochs than fit into so many steps, at least one."""
        affordable = max(1, steps // math.ceil(images / self.batch_size))
        return dataclasses.replace(self, epochs=min(self.epochs, affordable))


# Meng & Chen, CCS 2017, section 5: SGD 0.01 with Nesterov momentum 0.9. The 1,097 digits
# give few steps an epoch, so their batches are smaller. Fashion-MNIST, which is not in the
# paper, is trained as MNIST.
CLASSIFIER = {
    "mnist": Recipe(epochs=50, batch_size=128),
    "fashion_mnist": Recipe(epochs=50, batch_size=128),
    "cifar10": Recipe(epochs=350, batch_size=128, augment=True),
    "digits": Recipe(epochs=30, batch_size=32),
}
# The original's loss has 1e-9 times the sum over a batch of 256 images, beside a mean over
# them: 256e-9 an image, whatever the batch.
ACTIVITY_L2 = 256e-9
# The same, with Adam's defaults.
_AUTOENCODER = Recipe(epochs=100, batch_size=256, activity_l2=ACTIVITY_L2)
AUTOENCODER = {
    "mnist": _AUTOENCODER,
    "fashion_mnist": _AUTOENCODER,
    "cifar10": _AUTOENCODER,
    "digits": dataclasses.replace(_AUTOENCODER, batch_size=32),
}


@dataclasses.dataclass(frozen=True)
class PackRecipe:
    """How a pack is trained.

    Attributes:
        alone: each of its autoencoders, first.
        together: all of them, then.
    """

    alone: Recipe
    together: Recipe


def _packs(batch_size: int, epochs: int, fork_epochs: int) -> dict[str, PackRecipe]:
    alone = Recipe(epochs=3, batch_size=2 * batch_size)
    return {
        kind: PackRecipe(alone, Recipe(epochs=count, batch_size=batch_size))
        for kind, count in (("original", epochs), ("fork", fork_epochs))
    }


# Packs have no activity regularizer; of the fork, carlini/MagNet, as trained there.
PACK = {
    "mnist": _packs(batch_size=128, epochs=10, fork_epochs=30),
    "fashion_mnist": _packs(batch_size=128, epochs=10, fork_epochs=30),
    "cifar10": _packs(batch_size=128, epochs=10, fork_epochs=100),
    "digits": _packs(batch_size=16, epochs=10, fork_epochs=30),
}

# For a machine without a GPU: minutes instead of days for CIFAR-10 and for 256 filters.
SHORT_CLASSIFIER = {
    "mnist": Recipe(epochs=5, batch_size=128, peak_rate=1e-3, bfloat16=True),
    "fashion_mnist": Recipe(epochs=12, batch_size=128, peak_rate=1e-3, bfloat16=True),
    "cifar10": Recipe(
        epochs=30,
        batch_size=128,
        augment=True,
        cutout=12,
        peak_rate=5e-4,
        weight_decay=0.1,
        bfloat16=True,
    ),
    "digits": Recipe(epochs=30, batch_size=32, peak_rate=1e-3, bfloat16=True),
}
# Few sigmoids a layer want a large rate; hundreds saturate at Adam's own 1e-3, and stay so.
_NARROW = Recipe(epochs=60, batch_size=256, peak_rate=1e-2, activity_l2=ACTIVITY_L2)
SHORT_AUTOENCODER = {
    "mnist": _NARROW,
    "fashion_mnist": _NARROW,
    "cifar10": _NARROW,
    "digits": dataclasses.replace(_NARROW, batch_size=32),
}
_WIDE = Recipe(
    epochs=1,
    batch_size=32,
    peak_rate=3e-4,
    bfloat16=True,
    normalised=True,
    activity_l2=ACTIVITY_L2,
)
SHORT_WIDE_AUTOENCODER = {
    "mnist": _WIDE,
    "fashion_mnist": _WIDE,
    "cifar10": _WIDE,
    "digits": dataclasses.replace(_WIDE, epochs=20, batch_size=16),
}
WIDE = 64  # filters of a layer

KINDS = ("published", "short")
PACK_KINDS = ("original", "fork")


def for_classifier(kind: str, dataset: Dataset) -> Recipe:
    """The recipe of a dataset's classifier.

    Args:
        kind: "published" or "short".
        dataset: one without recipes of its own has those of its like.
    """
    return {"published": CLASSIFIER, "short": SHORT_CLASSIFIER}[kind][dataset.like]


def for_autoencoder(
    kind: str, dataset: Dataset, structure: Sequence[int | str]
) -> Recipe:
    """The recipe of an autoencoder of a structure; otherwise as `for_classifier`."""
    wide = any(isinstance(entry, int) and entry >= WIDE for entry in structure)
    short = SHORT_WIDE_AUTOENCODER if wide else SHORT_AUTOENCODER
    return {"published": AUTOENCODER, "short": short}[kind][dataset.like]


def for_pack(kind: str, dataset: Dataset) -> PackRecipe:
    """The recipe of a pack.

    Args:
        kind: "original", or "fork" for that of carlini/MagNet.
        dataset: one without recipes of its own has those of its like.
    """
    return PACK[dataset.like][kind]
