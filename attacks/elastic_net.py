"""EAD: elastic-net attacks, whose L1 term makes perturbations sparse.

Chen, Sharma, Zhang, Yi & Hsieh, "EAD: Elastic-Net Attacks to Deep Neural Networks via
Adversarial Examples", AAAI 2018 (arXiv 1709.04114), algorithm 1; `en_attack.py` and
`l1_attack.py` in the original, which differ in the rule that picks the best iterate.
"""

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from attacks.checks import check_choice, check_search, check_settings
from attacks.exact import ExactSearch, Minimize
from attacks.fista import Goal, at_rest, gradient_at, looked_at, proceed
from attacks.objective import Answer, met
from attacks.primal_dual import PrimalDualSearch
from attacks.result import AttackResult
from attacks.search import attack
from attacks.victim import Victim

# y_{k+1} goes on beyond x_{k+1} by (k + a) / (k + b) times the last step, with a and b: of the
# paper; of the original's code, whose global step is raised before the momentum reads it; and
# where the race in its update loses the momentum.
MOMENTUM = {"fista": (0, 3), "original": (1, 4), "none": (0, float("inf"))}


def elastic_net(
    classifier: Callable,
    x,
    labels,
    *,
    beta: float = 1e-2,
    confidence: float | Sequence[float] = 0.0,
    targeted: bool = False,
    learning_rate: float | None = None,
    max_iterations: int | None = None,
    binary_search_steps: int | None = None,
    initial_const: float | None = None,
    momentum: str = "fista",
    bounds: tuple[float, float] = (0.0, 1.0),
    batch_size: int = 64,
    search: str = "exact",
    gradients: int | None = None,
    constraints: Callable | None = None,
    jit_compile: bool | None = None,
    progress: bool = False,
) -> dict[str, AttackResult] | list[dict[str, AttackResult]]:
    """Finds, for each image, the adversarial examples of least elastic-net and L1 distance.

    minimise c * max(0, Z_label(x') - max_other Z(x') + confidence) + ||x' - x||_2^2
    + beta * ||x' - x||_1 over x' within the bounds, by FISTA, and over c by bisection.
    The iterates are the same under both rules, so one run serves them.

    Args:
        classifier: from images [N, H, W, C] to logits [N, K]; TensorFlow must be able to
            differentiate it. A Keras model is one. From several classifiers [N, M, K], all
            of which are to be fooled.
        x: float images [N, H, W, C] within `bounds`.
        labels: integers [N]: the true classes, or the targets where `targeted`.
        beta: weight of the L1 norm, and the threshold of the shrinkage.
        confidence: kappa, the margin by which the label must lose (or the target win); or
            several, whose results do not depend on one another.
        targeted: whether to reach `labels` instead of leaving them.
        learning_rate: of the first iteration, 0.01 as published; it falls with the square
            root to 0.
        max_iterations: FISTA's steps for each c, 1,000 as published.
        binary_search_steps: how many values of c are tried, 9 as published.
        initial_const: the first c, 1e-3 as published.
        momentum: "fista" is the paper's k / (k + 3). The original's code has (k + 1) / (k + 4),
            "original", or none at all, "none", as the race in its update falls: a run of it
            lies somewhere between.
        bounds: least and largest value of a pixel.
        batch_size: images that are attacked together; their results do not depend on it but
            for rounding. Below 16 a batch is filled up to 16 with copies of its last image,
            at the cost of 16, because smaller ones get other bits from TensorFlow's kernels.
            In the scope of a `tf.distribute` strategy its devices share the images.
        search: "exact" is the published schedule, to which learning_rate, max_iterations,
            binary_search_steps, initial_const and momentum belong. "primal_dual" moves c at
            every iteration, finds examples of the same kind with a 41st of the
            gradients, and has `gradients`; where the margin is far off they may be much
            farther (docs/primal_dual.md). (The least distance: `minimum_norm`.)
        gradients: of the primal-dual search, at most as many for an image and confidence.
            None: 220, as tuned.
        constraints: what an example must satisfy besides, such as passing a detector: from
            images to [N, J], at most 0 where satisfied, differentiable; None for nothing.
        jit_compile: whether XLA compiles the loop; None: where there is a GPU.
        progress: whether to show a bar, where somebody watches.

    Returns:
        {"EN": AttackResult, "L1": AttackResult}: the successful iterates of least
        ||.||_2^2 + beta ||.||_1 and of least ||.||_1; a failed image comes back unchanged
        with `success` False. With several confidences a list of these, in their order.

    Raises:
        InputError, InputTypeError: the images, the labels, a setting or the output of the
            classifier or the constraints are not as described; these are a ValueError and a
            TypeError.
    """
    check_settings(beta=beta)
    check_choice("momentum", momentum, tuple(MOMENTUM))
    settings = check_search(
        search,
        learning_rate=learning_rate,
        max_iterations=max_iterations,
        binary_search_steps=binary_search_steps,
        initial_const=initial_const,
        momentum=None if momentum == "fista" else momentum,
        gradients=gradients,
    )
    how: ExactSearch | PrimalDualSearch
    if search == "exact":
        how = ExactSearch(inner_loop, beta=beta, **settings)
    else:
        how = PrimalDualSearch(beta=beta, **settings)
    victim = Victim(classifier, targeted, bounds, jit_compile, constraints)
    results = attack(how, victim, x, labels, confidence, batch_size, progress)
    return results if np.ndim(confidence) else results[0]


def inner_loop(
    ask: Callable[[tf.Tensor], Answer],
    targeted: bool,
    learning_rate: float,
    max_iterations: int,
    bounds: tuple[float, float],
    beta: float,
    momentum: str = "fista",
) -> Minimize:
    """The minimisation over x' by FISTA, for a given c."""
    a, b = MOMENTUM[momentum]

    def minimize(x0, labels, const, confidence):
        goal, state = Goal(x0, labels, confidence), at_rest(x0, const)
        for k in tf.range(max_iterations):
            step = tf.cast(k, tf.float32)
            rate = learning_rate * tf.sqrt(1 - step / max_iterations)
            descent = rate * gradient_at(state.y, ask, goal, targeted, const)
            beyond = (step + a) / (step + b)
            state = proceed(state, x0, descent, beta, beyond, bounds)
            holds = met(ask(state.x), labels, confidence, targeted)
            state = looked_at(state, x0, holds, const, beta)
            if k == 0 and tf.reduce_all(state.x == x0):
                break  # for good: the gradient stays the same, and the rate only falls
        return state.best

    return minimize
