"""What several parts of a defence ask of one model about one batch is computed once.

MagNet's detectors and its reformer share autoencoders, its divergence detectors the
classifier, too: of D+JSD's ten passes through a model four remain.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

from keras import ops

_results: ContextVar[dict | None] = ContextVar("_results", default=None)


@contextlib.contextmanager
def shared() -> Iterator[None]:
    """Inside, `applied` and `healed` remember what they gave for a model and a tensor.

    One within another remembers what the outer one does.
    """
    outer = _results.get()
    token = _results.set({} if outer is None else outer)
    try:
        yield
    finally:
        _results.reset(token)


def _once(function: Callable) -> Callable:
    @functools.wraps(function)
    def remembering(model: Callable, x: Any) -> Any:
        results = _results.get()
        if results is None:
            return function(model, x)
        key = function, id(model), id(x)
        if key not in results:
            results[key] = model, x, function(model, x)  # kept: an id is not given anew
        return results[key][-1]

    return remembering


@_once
def applied(model: Callable, x: Any) -> Any:
    """model(x) in inference mode: a batch of tensors to a float32 tensor.

    Without `training=False` Keras 3 runs preprocessing layers such as `Resizing` in training
    mode, which the layers after them then take over. A model that computes in bfloat16 or
    float16 is asked as it is; what it gives is float32 from there on.
    """
    return ops.cast(model(x, training=False), "float32")


@_once
def healed(autoencoder: Callable, x: Any) -> Any:
    """clip(AE(x), 0, 1): images [N, H, W, C] in [0, 1] -> the same shape and range."""
    return ops.clip(applied(autoencoder, x), 0.0, 1.0)
