"""How large an evaluation is, as data: the paper's grid, a part of it, and a quick look."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """The size of an evaluation.

    Attributes:
        num_examples: test images that are attacked.
        confidences: kappa, by the published dataset that the data is like.
        betas: EAD's weights of the L1 norm.
        search: keywords of the attacks.
        recipe: of the models that are trained, "published" or "short".
        training_steps: no model is trained for more steps than that; None: as the recipe.
        gray_autoencoders: how many a gray-box attacker trains of each of the defence's.
    """

    num_examples: int
    confidences: Mapping[str, Sequence[float]]
    betas: Sequence[float]
    search: Mapping[str, float | str]
    recipe: str = "published"
    training_steps: int | None = None
    gray_autoencoders: Sequence[int] = (1, 4, 8)


def _kappas(
    grey: Sequence[float], colour: Sequence[float]
) -> dict[str, Sequence[float]]:
    return {"mnist": grey, "fashion_mnist": grey, "digits": grey, "cifar10": colour}


PRESETS = {
    # Lu et al., DSN-W 2018 (arXiv 1805.00310), section III
    "paper": Preset(
        num_examples=1000,
        confidences=_kappas(grey=range(0, 41, 5), colour=range(0, 101, 10)),
        betas=(1e-3, 1e-2, 5e-2, 1e-1),
        search={
            "learning_rate": 0.01,
            "max_iterations": 1000,
            "binary_search_steps": 9,
            "initial_const": 1e-3,
            "search": "exact",
        },
    ),
    # A fifth of the paper's images and a third of its gradients, its distances to about 3 %
    # (results/README.md): from c = 1, four halvings are as fine as its nine steps.
    "short": Preset(
        num_examples=200,
        confidences=_kappas(grey=range(0, 41, 10), colour=range(0, 101, 20)),
        betas=(1e-2, 1e-1),
        search={
            "learning_rate": 0.01,
            "max_iterations": 600,
            "binary_search_steps": 5,
            "initial_const": 1.0,
            "search": "exact",
        },
        recipe="short",
    ),
    # What a newcomer sees first: the fast search, within a minute.
    "quick": Preset(
        num_examples=50,
        confidences=_kappas(grey=(0, 10, 20), colour=(0, 20, 40)),
        betas=(1e-2, 1e-1),
        search={"search": "primal_dual"},
        training_steps=4000,
        gray_autoencoders=(1, 4),
    ),
}
# The same for several attackers, of whom each costs more than the oblivious one.
PRESETS["glance"] = dataclasses.replace(
    PRESETS["quick"],
    num_examples=32,
    confidences=_kappas(grey=(0, 10), colour=(0, 20)),
    betas=(1e-1,),
)
