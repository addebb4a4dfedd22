"""What the attacks minimise beside a distance: the hinge on the classifier's margin.

Carlini & Wagner, "Towards Evaluating the Robustness of Neural Networks", S&P 2017
(arXiv 1608.04644), function f6 with a confidence. Against a defence that rejects images, what
lies above its thresholds is added (Carlini & Wagner 2017, arXiv 1711.08478, section 4).
"""

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf


class Answer(NamedTuple):
    """What an attack asks of N images.

    Attributes:
        logits: float32 [N, M, K], of M classifiers, all of which are to be fooled.
        constraints: float32 [N, J], each at most 0 where it is satisfied.
    """

    logits: tf.Tensor
    constraints: tf.Tensor


def margin(
    logits: tf.Tensor,
    labels: tf.Tensor,
    targeted: bool,
    excluded: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Z_label - max_other Z; targeted, the two logits swap roles.

    Args:
        logits: [N, M, K]. labels: int [N]. targeted: see above.
        excluded: bool [N, K], classes that are not among the others; None for no class.

    Returns:
        The margins, [N, M], below zero where the example is adversarial, and the other
        classes, [N, M].
    """
    is_label = tf.one_hot(labels, logits.shape[-1], on_value=True, off_value=False)
    hidden = is_label if excluded is None else is_label | excluded
    others = tf.where(hidden[:, None], logits.dtype.min, logits)
    label = tf.reduce_sum(tf.where(is_label[:, None], logits, 0.0), axis=-1)
    other = tf.reduce_max(others, axis=-1)
    rival = tf.argmax(others, axis=-1, output_type=labels.dtype)
    return (other - label if targeted else label - other), rival


def gaps(
    answer: Answer,
    labels: tf.Tensor,
    confidence: tf.Tensor,
    targeted: bool,
    excluded: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """What is to be at most 0, [N, 1 + J]: the largest margin + confidence, the constraints.

    Args:
        answer: of N images. labels: int [N]. confidence: [N], at least 0.
        targeted: as in `margin`. excluded: likewise.

    Returns:
        The gaps, and the class beside the label in the largest margin, [N].
    """
    margins, rivals = margin(answer.logits, labels, targeted, excluded)
    largest = tf.argmax(margins, axis=1)
    gap = tf.reduce_max(margins, axis=1) + confidence
    columns = tf.concat([gap[:, None], answer.constraints], axis=1)
    return columns, tf.gather(rivals, largest, axis=1, batch_dims=1)


def losses(
    answer: Answer, labels: tf.Tensor, confidence: tf.Tensor, targeted: bool
) -> tf.Tensor:
    """max(0, margin + confidence), summed over the classifiers, and max(0, constraint).

    Args:
        answer: of N images. labels: int [N]. confidence: [N], at least 0.

    Returns:
        Tensor [N, 1 + J], zero where the attack has its margin and a constraint holds.
    """
    margins, _ = margin(answer.logits, labels, targeted)
    hinge = tf.reduce_sum(tf.nn.relu(margins + confidence[:, None]), axis=1)
    return tf.concat([hinge[:, None], tf.nn.relu(answer.constraints)], axis=1)


def met(
    answer: Answer, labels: tf.Tensor, confidence: tf.Tensor, targeted: bool
) -> tf.Tensor:
    """Whether all classifiers are fooled, and whether each constraint holds: bool [N, 1 + J]."""
    fooled = is_adversarial(answer.logits, labels, confidence, targeted)
    return tf.concat([fooled[:, None], answer.constraints <= 0], axis=1)


def is_adversarial(
    logits: tf.Tensor, labels: tf.Tensor, confidence: tf.Tensor, targeted: bool
):
    """Whether the label loses after `confidence` is added to its logit (`compare` in C&W's code).

    Targeted: whether it wins after `confidence` is taken from it. Under all M classifiers of
    logits [N, M, K]; never with logits that are not finite.

    Returns:
        Bool tensor [N].
    """
    handicap = -confidence if targeted else confidence
    shifted = (
        logits + (handicap[:, None] * tf.one_hot(labels, logits.shape[-1]))[:, None]
    )
    top = tf.argmax(shifted, axis=-1, output_type=labels.dtype)
    wins = top == labels[:, None]
    finite = tf.reduce_all(tf.math.is_finite(logits), axis=-1)
    return tf.reduce_all(finite & (wins if targeted else ~wins), axis=-1)


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


def bettered(
    best: Mapping[str, tuple],
    distances: Mapping[str, tf.Tensor],
    found: tf.Tensor,
    x: tf.Tensor,
    const: tf.Tensor,
) -> dict[str, tuple]:
    """The best by each rule, x among them where it is an example.

    Args:
        best: {rule: (distance [N], example [N, H, W, C], its c)}.
        distances: of x, {rule: [N]}.
        found: bool [N], whether x is an example.
        x: [N, H, W, C].
        const: c, [N, ...].
    """
    return {
        rule: keep(best[rule], (tf.where(found, distance, float("inf")), x, const))
        for rule, distance in distances.items()
    }


def per_image(values: tf.Tensor) -> tf.Tensor:
    """[N] -> [N, 1, 1, 1], to broadcast against images."""
    return values[:, None, None, None]
