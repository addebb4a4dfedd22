"""Training recipes, as data. The published ones, apart from the digits'."""

import dataclasses
import math


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a model is trained.

    Attributes:
        epochs: passes over the training images.
        batch_size: images a step.
        augment: whether images are shifted by up to a tenth and flipped at random.
    """

    epochs: int
    batch_size: int
    augment: bool = False

    def at_most(self, steps: int, images: int) -> "Recipe":
        """The recipe with no more epochs than fit into so many steps, at least one."""
        affordable = max(1, steps // math.ceil(images / self.batch_size))
        return dataclasses.replace(self, epochs=min(self.epochs, affordable))


# Meng & Chen, CCS 2017, section 5: SGD 0.01 with Nesterov momentum 0.9. The 1,097 digits
# give few steps an epoch, so their batches are smaller.
CLASSIFIER = {
    "mnist": Recipe(epochs=50, batch_size=128),
    "cifar10": Recipe(epochs=350, batch_size=128, augment=True),
    "digits": Recipe(epochs=30, batch_size=32),
}
# The same, with Adam's defaults.
AUTOENCODER = {
    "mnist": Recipe(epochs=100, batch_size=256),
    "cifar10": Recipe(epochs=100, batch_size=256),
    "digits": Recipe(epochs=100, batch_size=32),
}


def for_dataset(recipes: dict[str, Recipe], name: str, channels: int) -> Recipe:
    """A dataset's own recipe, or MNIST's for other grey images and CIFAR-10's for colour."""
    return recipes.get(name) or recipes["mnist" if channels == 1 else "cifar10"]
