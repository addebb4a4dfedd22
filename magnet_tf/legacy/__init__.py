"""Reads what the original's users still have: Keras 2 model files and pickled attack data.

Neither reader runs anything that a file brings along. A model is put together anew from the
few layer classes in `LAYERS`, with the arguments and weights that the file gives; attack data
is unpickled into stand-ins that accept plain arrays of numbers.
"""

from magnet_tf.legacy.errors import LegacyError
from magnet_tf.legacy.keras2 import LAYERS, load_model
from magnet_tf.legacy.pickles import load_attack_data

__all__ = ["LAYERS", "LegacyError", "load_attack_data", "load_model"]
