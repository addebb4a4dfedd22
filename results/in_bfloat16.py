"""`eval.oblivious` with attacks that compute in bfloat16, for processors with matrix units.

    python -m results.in_bfloat16 --dataset=cifar10 --models_dir=zoo

TensorFlow rewrites the graphs that the attacks are compiled into. Everything else is asked
outside of a graph, in float32: the thresholds, MagNet, and the undefended classifier when the
report says whether it was fooled.
"""

import dataclasses

import tensorflow as tf

import magnet_cli
from eval import oblivious

tf.config.optimizer.set_experimental_options(
    {"auto_mixed_precision_onednn_bfloat16": True}
)
magnet_cli.main(dataclasses.replace(oblivious.COMMAND, name="results.in_bfloat16"))
