"""What a training cannot do."""

from magnet_tf.errors import UserError


class TrainingError(UserError, ValueError):
    """A training that was asked for cannot be done; the message says why and what to do."""
