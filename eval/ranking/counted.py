"""A classifier that counts what it is asked, whoever asks."""

import keras
import tensorflow as tf


class Counted:
    """A classifier as a callable that counts forward and backward passes.

    Compiled, so that libraries that ask it from Python are not held up by it.

    Args:
        classifier: from images [N, H, W, C] to logits [N, K].
        count: how many images are attacked. A pass of more than these, such as one over a
            chunk that was filled up, counts as one of these.
    """

    def __init__(self, classifier: keras.Model, count: int):
        self._count = count
        self._forward = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._backward = tf.Variable(0, dtype=tf.int64, trainable=False)

        size = tf.TensorSpec([None, *classifier.input_shape[1:]], tf.float32)
        self._ask = tf.function(
            lambda images: classifier(images, training=False), input_signature=[size]
        )

    def __call__(self, images, training: bool = False) -> tf.Tensor:
        """Logits [N, K]; `training` is there for libraries that say it, and never true."""
        images = tf.convert_to_tensor(images)
        self._add(self._forward, images)
        return self._ask(self._noticed(images))

    def _noticed(self, images: tf.Tensor) -> tf.Tensor:
        """The images as they are; whoever takes a gradient with respect to them is counted."""

        @tf.custom_gradient
        def same(images):
            def gradient(of_images):
                self._add(self._backward, of_images)
                return of_images

            return tf.identity(images), gradient

        return same(images)

    def _add(self, counter: tf.Variable, images: tf.Tensor) -> None:
        count = tf.shape(images, tf.int64)[0]
        counter.assign_add(tf.minimum(count, self._count))

    @property
    def passes(self) -> tuple[float, float]:
        """Forward and backward passes for each image, so far."""
        forward, backward = int(self._forward), int(self._backward)
        return forward / self._count, backward / self._count
