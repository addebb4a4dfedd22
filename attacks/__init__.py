"""Optimisation-based attacks on image classifiers: C&W's L2 attack and EAD."""

from attacks.carlini_wagner import carlini_wagner_l2
from attacks.checks import InputError, InputTypeError
from attacks.elastic_net import elastic_net
from attacks.result import AttackResult

__all__ = [
    "AttackResult",
    "InputError",
    "InputTypeError",
    "carlini_wagner_l2",
    "elastic_net",
]
