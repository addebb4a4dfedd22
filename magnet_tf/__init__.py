"""MagNet: detectors and a reformer that defend a Keras classifier without changing it.

Meng & Chen, "MagNet: a Two-Pronged Defense against Adversarial Examples",
CCS 2017, https://arxiv.org/abs/1705.09064.
"""

__version__ = "0.8.0"  # a literal, which setup.cfg reads without importing anything

from magnet_tf import (
    autoencoders,
    classifiers,
    datasets,
    legacy,
    packs,
    saved,
    variants,
    zoo,
)
from magnet_tf.detectors import DivergenceDetector, ReconstructionDetector
from magnet_tf.magnet import MagNet, NotCalibratedError, Verdict
from magnet_tf.reformers import IdentityReformer, Reformer

__all__ = [
    "DivergenceDetector",
    "IdentityReformer",
    "MagNet",
    "NotCalibratedError",
    "ReconstructionDetector",
    "Reformer",
    "Verdict",
    "autoencoders",
    "classifiers",
    "datasets",
    "legacy",
    "packs",
    "saved",
    "variants",
    "zoo",
]
