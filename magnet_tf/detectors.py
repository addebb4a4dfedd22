"""Detectors give an image a mark: the larger, the further off the data manifold.

A detector is a Keras layer with a method `mark`. Meng & Chen, CCS 2017, section 4.
"""

import numbers
from typing import Any

import keras
import numpy as np
from keras import ops

from magnet_tf.arrays import takes_arrays
from magnet_tf.errors import InputError, InputTypeError
from magnet_tf.once import applied, healed


@keras.saving.register_keras_serializable("magnet_tf")
class ReconstructionDetector(keras.layers.Layer):
    """Marks an image by how badly an autoencoder reconstructs it.

    Meng & Chen, section 4.1.1; `AEDetector` in the original.

    Args:
        autoencoder: Keras model from images [N, H, W, C] to images of the same shape.
        p: the error's exponent, 1 or 2 in the paper.
    """

    def __init__(self, autoencoder: keras.Model, p: int = 2, **kwargs: Any):
        super().__init__(**kwargs)
        check_model("autoencoder", autoencoder)
        _check_positive("p", p)
        self.autoencoder = autoencoder
        self.p = p

    @takes_arrays
    def mark(self, x: Any) -> Any:
        """mean over pixels and channels of |x - AE(x)|^p: [N, H, W, C] in [0, 1] -> [N]."""
        error = ops.abs(x - applied(self.autoencoder, x))
        return ops.mean(error**self.p, axis=(1, 2, 3))

    def excess(self, x: Any, threshold: Any) -> Any:
        """mark / threshold - 1: [N, H, W, C], a tensor, -> [N]."""
        return relative_excess(self.mark(x), threshold)

    def call(self, x: Any) -> Any:
        return self.mark(x)

    def get_config(self) -> dict:
        autoencoder = keras.saving.serialize_keras_object(self.autoencoder)
        return {**super().get_config(), "autoencoder": autoencoder, "p": self.p}

    @classmethod
    def from_config(cls, config: dict) -> "ReconstructionDetector":
        return cls(**with_models(config))


@keras.saving.register_keras_serializable("magnet_tf")
class DivergenceDetector(keras.layers.Layer):
    """Marks an image by how much the classifier's opinion of its reconstruction differs.

    Meng & Chen, section 4.1.2; `DBDetector` in the original, whose two reformers are here
    `Reformer(autoencoder)` and `Reformer(prober)`.

    Args:
        autoencoder: Keras model from images [N, H, W, C] to images of the same shape; its
            output is clipped to [0, 1].
        classifier: Keras model from images to logits [N, K].
        temperature: T > 0, divides the logits before the softmax; 10 and 40 in the paper.
        prober: a second autoencoder, with whose reconstruction the first one's is compared;
            None compares it with the image itself, as the paper does.
    """

    def __init__(
        self,
        autoencoder: keras.Model,
        classifier: keras.Model,
        temperature: float = 10.0,
        prober: keras.Model | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_model("autoencoder", autoencoder)
        check_model("classifier", classifier)
        if prober is not None:
            check_model("prober", prober)
        _check_positive("temperature", temperature)
        self.autoencoder = autoencoder
        self.classifier = classifier
        self.temperature = temperature
        self.prober = prober

    @takes_arrays
    def mark(self, x: Any) -> Any:
        """JSD(softmax(f(x)/T), softmax(f(AE(x))/T)) in nats: [N, H, W, C] in [0, 1] -> [N]."""
        divergence = jensen_shannon(*self._opinions(x), self.temperature)
        return ops.cast(divergence, "float32")

    def excess(self, x: Any, threshold: Any) -> Any:
        """g(mark) / g(threshold) - 1 with g(m) = -log(1 - m / log 2): a tensor -> [N].

        g rises with the mark, and is about m / log 2 for small ones. Where the two opinions
        are certain, and differ, the mark is at its most and flat; g goes on rising with the
        logits, so that its gradient shows the way back.
        """
        closeness = log_closeness(*self._opinions(x), self.temperature)
        # a threshold of log 2 or more is never met
        share = ops.minimum(threshold / np.log(2), 1 - 1e-7)
        return relative_excess(ops.cast(-closeness, "float32"), -ops.log1p(-share))

    def _opinions(self, x: Any) -> tuple[Any, Any]:
        """The logits that are compared, each [N, K]."""
        probed = x if self.prober is None else healed(self.prober, x)
        return (
            applied(self.classifier, probed),
            applied(self.classifier, healed(self.autoencoder, x)),
        )

    def call(self, x: Any) -> Any:
        return self.mark(x)

    def get_config(self) -> dict:
        return {
            **super().get_config(),
            "autoencoder": keras.saving.serialize_keras_object(self.autoencoder),
            "classifier": keras.saving.serialize_keras_object(self.classifier),
            "temperature": self.temperature,
            "prober": self.prober and keras.saving.serialize_keras_object(self.prober),
        }

    @classmethod
    def from_config(cls, config: dict) -> "DivergenceDetector":
        return cls(**with_models(config))


def log_opinion(logits: Any, temperature: float) -> Any:
    """Logarithms of a softmax at a temperature, in float64: [N, K] -> [N, K]."""
    return ops.log_softmax(ops.cast(logits, "float64") / temperature)


def jensen_shannon(logits_p: Any, logits_q: Any, temperature: float) -> Any:
    """Jensen-Shannon divergence of two softmaxes at a temperature, in nats.

    JSD(P, Q) = KL(P, M)/2 + KL(Q, M)/2 with M = (P + Q)/2, and KL(P, M) = sum P log(P/M),
    where log(P/M) = log 2 - softplus(log Q - log P): no probability is ever divided by, so
    saturated logits are safe. In float64, because marks near 1e-6 are differences of terms
    near 1e-2; JAX has it only with JAX_ENABLE_X64=1, and is off by some 1e-7 without.

    Args:
        logits_p: tensor [N, K] of logits.
        logits_q: those to compare with, likewise.
        temperature: T > 0.

    Returns:
        Tensor [N] of float64, from 0 to log 2.
    """
    log_p, log_q = (log_opinion(logits, temperature) for logits in (logits_p, logits_q))
    difference = log_q - log_p
    log_2 = ops.softplus(ops.zeros_like(difference))  # cancels exactly where P = Q
    kl_p = ops.sum(ops.exp(log_p) * (log_2 - ops.softplus(difference)), axis=-1)
    kl_q = ops.sum(ops.exp(log_q) * (log_2 - ops.softplus(-difference)), axis=-1)
    return ops.maximum((kl_p + kl_q) / 2, 0.0)


def log_closeness(logits_p: Any, logits_q: Any, temperature: float) -> Any:
    """log(1 - JSD / log 2) of two softmaxes at a temperature, without cancellation.

    By the formulas of `jensen_shannon`, log 2 - JSD is half the sum of P softplus(log Q -
    log P) and Q softplus(log P - log Q), all terms of which are positive: its logarithm is
    one of a sum of exponentials, finite also where JSD is log 2 to the last bit.

    Args:
        logits_p: tensor [N, K] of logits.
        logits_q: those to compare with, likewise.
        temperature: T > 0.

    Returns:
        Tensor [N] of float64, at most 0.
    """
    log_p, log_q = (log_opinion(logits, temperature) for logits in (logits_p, logits_q))
    difference = log_q - log_p

    def log_softplus(z: Any) -> Any:
        # far below 0, softplus(z) is exp(z)
        return ops.where(z < -30, z, ops.log(ops.softplus(ops.maximum(z, -30.0))))

    terms = [log_p + log_softplus(difference), log_q + log_softplus(-difference)]
    total = ops.logsumexp(ops.concatenate(terms, axis=-1), axis=-1)
    return ops.minimum(total - np.log(2) - np.log(np.log(2)), 0.0)


def relative_excess(value: Any, limit: Any) -> Any:
    """value / limit - 1, for values [N] of at least 0 and a limit, which may be 0."""
    return value / ops.maximum(limit, 1e-12) - 1.0


def check_model(name: str, model: object) -> None:
    """Raises InputTypeError where a part of a defence that should be a model is none."""
    if not callable(model):
        raise InputTypeError(
            f"{name} must be a Keras model, got {type(model).__name__}."
        )


def _check_positive(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise InputTypeError(f"{name} must be above 0, got {value!r}.")
    if not 0 < float(value) < float("inf"):
        raise InputError(f"{name} must be above 0, got {value}.")


def with_models(config: dict) -> dict:
    """A configuration with its serialized Keras objects made objects again."""
    return {
        key: keras.saving.deserialize_keras_object(value)
        if isinstance(value, dict)
        else value
        for key, value in config.items()
    }
