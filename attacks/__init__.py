"""Optimisation-based attacks on image classifiers: C&W's L2 attack, EAD, the least distance
by a norm, and orthogonal projected gradient descent within a ball."""

from attacks.carlini_wagner import carlini_wagner_l2
from attacks.checks import InputError, InputTypeError
from attacks.elastic_net import elastic_net
from attacks.minimum_norm import minimum_norm
from attacks.orthogonal_pgd import orthogonal_pgd
from attacks.result import AttackResult

__all__ = [
    "AttackResult",
    "InputError",
    "InputTypeError",
    "carlini_wagner_l2",
    "elastic_net",
    "minimum_norm",
    "orthogonal_pgd",
]
