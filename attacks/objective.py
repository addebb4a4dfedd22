"""What the attacks minimise beside a distance: the hinge on the classifier's margin.

Carlini & Wagner, "Towards Evaluating the Robustness of Neural Networks", S&P 2017
(arXiv 1608.04644), function f6 with a confidence.
"""

import tensorflow as tf


def margin(
    logits: tf.Tensor,
    labels: tf.Tensor,
    targeted: bool,
    excluded: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Z_label - max_other Z; targeted, the two logits swap roles.

    Args:
        logits: [N, K]. labels: int [N]. targeted: see above.
        excluded: bool [N, K], classes that are not among the others; None for no class.

    Returns:
        The margin, [N], below zero for an adversarial example, and the other class, [N].
    """
    is_label = tf.one_hot(labels, logits.shape[-1], on_value=True, off_value=False)
    hidden = is_label if excluded is None else is_label | excluded
    others = tf.where(hidden, logits.dtype.min, logits)
    label = tf.reduce_sum(tf.where(is_label, logits, 0.0), axis=-1)
    other = tf.reduce_max(others, axis=-1)
    rival = tf.argmax(others, axis=-1, output_type=labels.dtype)
    return (other - label if targeted else label - other), rival


def hinge(logits: tf.Tensor, labels: tf.Tensor, confidence: tf.Tensor, targeted: bool):
    """max(0, margin + confidence).

    Args:
        logits: [N, K]. labels: int [N]. confidence: [N], at least 0.

    Returns:
        Tensor [N], zero where the attack has its margin.
    """
    gap, _ = margin(logits, labels, targeted)
    return tf.nn.relu(gap + confidence)


def is_adversarial(
    logits: tf.Tensor, labels: tf.Tensor, confidence: tf.Tensor, targeted: bool
):
    """Whether the label loses after `confidence` is added to its logit (`compare` in C&W's code).

    Targeted: whether it wins after `confidence` is taken from it. Never with logits that
    are not finite.

    Returns:
        Bool tensor [N].
    """
    handicap = -confidence if targeted else confidence
    shifted = logits + handicap[:, None] * tf.one_hot(labels, logits.shape[-1])
    wins = tf.argmax(shifted, axis=-1, output_type=labels.dtype) == labels
    finite = tf.reduce_all(tf.math.is_finite(logits), axis=-1)
    return finite & (wins if targeted else ~wins)


def keep(best: tuple, other: tuple) -> tuple:
    """Image by image the better of two, the first where they are equal.

    Args:
        best: tensors [N, ...], the first of them the score, [N]: the lower, the better.
        other: likewise.
    """
    better = other[0] < best[0]

    def chosen(one, two):
        ones = [1] * (len(one.shape) - 1)
        return tf.where(tf.reshape(better, [-1, *ones]), two, one)

    return tuple(chosen(one, two) for one, two in zip(best, other, strict=True))


def per_image(values: tf.Tensor) -> tf.Tensor:
    """[N] -> [N, 1, 1, 1], to broadcast against images."""
    return values[:, None, None, None]
