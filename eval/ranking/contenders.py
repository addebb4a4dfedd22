"""The attacks that are ranked, with the settings that their authors recommend for a budget.

A budget is of gradients for each image. Those with a search over c divide it by its steps, 9 or
as the library has it; those without have as many steps. What is not named is the default.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

import attacks
from eval.ranking.counted import Counted

STEPS = 9  # of a search over c, as published

# From a classifier, images [N, H, W, C], labels [N] and a budget to examples.
Craft = Callable[[Counted, np.ndarray, np.ndarray, int], np.ndarray]


class Contender(NamedTuple):
    """An attack that is ranked.

    Attributes:
        title: in table and figure.
        norm: that it minimises, "L1" or "L2".
        craft: the attack.
        slow: whether it takes 50 times as long as others.
    """

    title: str
    norm: str
    craft: Craft
    slow: bool = False


def _minimum_norm(norm: str) -> Craft:
    def craft(classifier, x, labels, gradients):
        return attacks.minimum_norm(
            classifier, x, labels, norm=norm, gradients=gradients
        ).adversarial

    return craft


def _exact_cw(classifier, x, labels, gradients):
    return attacks.carlini_wagner_l2(
        classifier, x, labels, max_iterations=gradients // STEPS
    ).adversarial


def _exact_ead(classifier, x, labels, gradients):
    return attacks.elastic_net(
        classifier, x, labels, max_iterations=gradients // STEPS
    )["L1"].adversarial


def _foolbox(name: str, searches: bool = False, **settings) -> Craft:
    """Foolbox's attack of a name, with `steps` in each step of its search if it has one."""

    def craft(classifier, x, labels, gradients):
        import foolbox

        steps = gradients // STEPS if searches else gradients
        return _asked_of_foolbox(
            getattr(foolbox.attacks, name)(steps=steps, **settings),
            classifier,
            x,
            labels,
        )

    return craft


def _projected_fmn(classifier, x, labels, gradients):
    """FMN as published: Foolbox's for L2 (3.3.4) forgets to project.

    The factor in its `project` is min(1, norms / norms) where min(1, epsilon / norms) is due.
    """
    import eagerpy
    import foolbox
    from foolbox.devutils import atleast_kd, flatten

    class ProjectedFMN(foolbox.attacks.L2FMNAttack):
        def project(self, x, x0, epsilon):
            lengths = eagerpy.maximum(flatten(x - x0).norms.l2(axis=-1), 1e-12)
            factor = eagerpy.minimum(1, epsilon / lengths)
            return x0 + (x - x0) * atleast_kd(factor, x.ndim)

    return _asked_of_foolbox(ProjectedFMN(steps=gradients), classifier, x, labels)


def _asked_of_foolbox(attack, classifier, x, labels):
    from eval.libraries import foolbox_attacks

    return attack.run(*foolbox_attacks.asked(classifier, x, labels)).numpy()


def _art(name: str, steps: int, **settings) -> Craft:
    """ART's attack of a name. An iteration takes the gradients of two logits."""

    def craft(classifier, x, labels, gradients):
        import art.attacks.evasion

        from eval.libraries import art_attacks

        num_classes = classifier(x[:1]).shape[-1]
        model = art_attacks.as_estimator(classifier, x.shape[1:], num_classes)
        attack = getattr(art.attacks.evasion, name)(
            model,
            binary_search_steps=steps,
            max_iter=max(1, gradients // (2 * steps)),
            batch_size=len(x),
            verbose=False,
            **settings,
        )
        return attack.generate(x, np.eye(num_classes, dtype=np.float32)[labels])

    return craft


CONTENDERS: Mapping[str, Contender] = {
    "l2": Contender("minimum_norm", "L2", _minimum_norm("L2")),
    "cw": Contender("C&W, exact", "L2", _exact_cw),
    "ddn": Contender("Foolbox DDN", "L2", _foolbox("DDNAttack")),
    "fmn": Contender("Foolbox FMN", "L2", _foolbox("L2FMNAttack")),
    "fmn-projected": Contender("FMN, projected", "L2", _projected_fmn),
    "foolbox-cw": Contender(
        "Foolbox C&W", "L2", _foolbox("L2CarliniWagnerAttack", searches=True)
    ),
    "art-cw": Contender("ART C&W", "L2", _art("CarliniL2Method", steps=10), slow=True),
    "l1": Contender("minimum_norm", "L1", _minimum_norm("L1")),
    "ead": Contender("EAD, exact", "L1", _exact_ead),
    "fmn-l1": Contender("Foolbox FMN", "L1", _foolbox("L1FMNAttack")),
    "foolbox-ead": Contender(
        "Foolbox EAD",
        "L1",
        _foolbox("EADAttack", searches=True, decision_rule="L1"),
    ),
    "art-ead": Contender(
        "ART EAD", "L1", _art("ElasticNet", steps=9, decision_rule="L1"), slow=True
    ),
}
