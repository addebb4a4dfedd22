"""Several devices: a chunk's images are shared among them by `tf.distribute`."""

from collections.abc import Callable

import tensorflow as tf


def current_strategy() -> tf.distribute.Strategy | None:
    """The strategy in whose scope this is called, None where it has one device only."""
    strategy = tf.distribute.get_strategy()
    return strategy if strategy.num_replicas_in_sync > 1 else None


def shared_out(loop: Callable, strategy: tf.distribute.Strategy) -> Callable:
    """The same loop, each device taking an equal share of the images.

    Args:
        loop: from tensors to tensors, in any nesting; the first axis of each that has one is
            the images'.
        strategy: such as `tf.distribute.MirroredStrategy`; the number of images must be
            divisible by the number of its replicas.
    """
    count = strategy.num_replicas_in_sync
    # One graph holds all replicas, so that they run at the same time.
    everywhere = tf.function(lambda *args: strategy.run(loop, args))

    def call(*args):
        def share(context):
            n = context.replica_id_in_sync_group
            return tf.nest.map_structure(
                lambda t: tf.split(t, count)[n] if t.shape.rank else t, args
            )

        distributed = strategy.experimental_distribute_values_from_function(share)
        return tf.nest.map_structure(
            lambda value: tf.concat(strategy.experimental_local_results(value), axis=0),
            everywhere(*distributed),
        )

    return call
