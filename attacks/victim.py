"""The classifier under attack: what is asked of it, and how loops over it are compiled."""

import functools
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from attacks.checks import check_backend, check_bounds, check_choice
from attacks.classifier import asking
from attacks.devices import current_strategy, shared_out
from attacks.objective import Answer, met
from attacks.result import AttackResult, measured


class Victim:
    """A classifier, the goal, and the loops compiled for both.

    Args:
        classifier: from images [N, H, W, C] to logits [N, K], or of several [N, M, K].
        targeted: whether to reach the labels instead of leaving them.
        bounds: least and largest value of a pixel.
        jit_compile: whether XLA compiles the loops; None: where there is a GPU.
        constraints: from images to [N, J], at most 0 where satisfied; None for none.

    Raises:
        InputError, InputTypeError: an argument is not as described, or the classifier is a
            Keras model and Keras does not compute with TensorFlow.

    Attributes:
        devices: how many share the images: those of the `tf.distribute` strategy in whose
            scope this is made.
    """

    def __init__(
        self,
        classifier: Callable,
        targeted: bool,
        bounds: tuple[float, float],
        jit_compile: bool | None,
        constraints: Callable | None = None,
    ):
        check_backend(classifier)
        check_choice("targeted", targeted, (True, False))
        check_choice("jit_compile", jit_compile, (None, True, False))
        self.classifier, self.constraints = classifier, constraints
        self.targeted = bool(targeted)
        self.bounds = check_bounds(bounds)
        self.ask = asking(classifier, constraints)
        has_gpu = bool(tf.config.list_physical_devices("GPU"))
        # On a CPU, XLA's convolutions are slower than TensorFlow's.
        self._jit_compile = has_gpu if jit_compile is None else bool(jit_compile)
        strategy = current_strategy()
        self.devices = strategy.num_replicas_in_sync if strategy else 1
        # A Keras model's graph does not change, but what another callable does may.
        lasting = isinstance(classifier, keras.Model) and constraints is None
        self._compiled = functools.cache(
            functools.partial(
                _compiled_once if lasting else _compiled,
                classifier=classifier,
                constraints=constraints,
                strategy=strategy,
                targeted=self.targeted,
            )
        )
        # As Keras compiles `predict`: an example that holds here holds there.
        self._holds = self._compiled(
            verification, jit_compile=self._jit_compile and has_gpu
        )

    def loop(self, inner_loop: Callable[..., Callable], **settings) -> Callable:
        """An inner loop as one `tf.function`, the same for the same settings.

        Args:
            inner_loop: from `asking`'s function, targeted, bounds and the settings to a
                function from tensors to tensors.
            settings: hashable.
        """
        return self._compiled(
            inner_loop, jit_compile=self._jit_compile, bounds=self.bounds, **settings
        )

    def verified(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        confidence: float,
        result: AttackResult,
    ) -> AttackResult:
        """A result whose every success holds when the victim is asked once more.

        In a chunk of the size of the loops', for which its kernels give the same bits.

        Args:
            images: float32 [N, H, W, C], those that the result is of.
            labels: int [N].
            confidence: kappa.
            result: what was found.
        """
        kappa = tf.fill([len(images)], float(confidence))
        adversarial, success, const = result[:3]
        holds = self._holds(tf.constant(adversarial), tf.constant(labels), kappa)
        return measured(images, adversarial, success & holds.numpy(), const)


def verification(ask: Callable[..., Answer], targeted: bool) -> Callable:
    """What each example must pass in the end, by one forward pass outside the loops."""

    def holds(examples, labels, confidence):
        return tf.reduce_all(met(ask(examples), labels, confidence, targeted), axis=1)

    return holds


def _compiled(
    inner_loop: Callable[..., Callable],
    classifier: Callable,
    constraints: Callable | None,
    jit_compile: bool,
    strategy: tf.distribute.Strategy | None,
    **settings,
) -> Callable:
    """An inner loop for a classifier and settings, as one `tf.function` on all devices."""
    ask = asking(classifier, constraints)
    loop = tf.function(inner_loop(ask, **settings), jit_compile=jit_compile)
    return shared_out(loop, strategy) if strategy else loop


_compiled_once = functools.lru_cache(maxsize=32)(_compiled)
