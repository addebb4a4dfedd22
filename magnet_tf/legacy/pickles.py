"""Arrays that the original pickled, read by an unpickler that admits nothing else."""

import io
import os
import pickle
import re
import struct
from typing import Any, ClassVar

import numpy as np

from magnet_tf.legacy.errors import LegacyError, naming


def load_attack_data(path: str | os.PathLike) -> np.ndarray:
    """Reads an array that the original pickled, under Python 2 or 3.

    Args:
        path: such as the original's `attack_data/example_carlini_10.0.pkl`: images
            [N, H, W, C]; or its `example_idx.pkl`: indices [N].

    Returns:
        The array, in this machine's byte order.

    Raises:
        LegacyError: the file is missing, damaged or not a pickle; it names any class or
            function other than those of plain arrays, of which nothing is run; it holds
            something other than one array of numbers.
    """
    with naming(path):
        if not os.path.isfile(path):
            raise LegacyError("there is no such file.")
        with open(path, "rb") as file:
            try:
                data = _ArrayUnpickler(_Bytes(file.read()), encoding="latin1").load()
            except LegacyError:
                raise
            except Exception as error:
                raise LegacyError(
                    f"this is no pickled array, or is cut short ({error})."
                ) from error
        if not isinstance(data, _Array) or data.array is None:
            raise LegacyError(
                f"this pickle holds a {type(data).__name__.strip('_')}, not one NumPy array."
            )
        return data.array.astype(data.array.dtype.newbyteorder("="))


# Stand-ins for the names in a pickled array. NumPy's own would take a crafted dtype or object
# array from the file; these take numbers and nothing else.


class _DType:
    def __init__(self, code: str, *_: object):
        if not re.fullmatch("[<>|=]?[biuf][1248]", code):
            raise LegacyError(
                f"this pickle holds an array of type {code!r}, not of numbers."
            )
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _Array:
    def __init__(self, *_: object):
        self.array: np.ndarray | None = None

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        data = (
            data.encode("latin1") if isinstance(data, str) else data
        )  # Python 2's bytes
        self.array = np.frombuffer(data, dtype.dtype).reshape(
            shape, order="F" if is_fortran else "C"
        )


def _from_buffer(
    data: bytes, dtype: _DType, shape: tuple, order: Any, axes: tuple | None = None
) -> _Array:
    result = _Array()
    if order == "K":
        result.array = np.frombuffer(data, dtype.dtype).reshape(shape).transpose(axes)
    else:
        result.array = np.frombuffer(data, dtype.dtype).reshape(shape, order=order)
    return result


def _encode(text: str, encoding: str) -> bytes:
    """Bytes, as Python 3 writes them in a pickle that Python 2 can read."""
    if encoding != "latin1":
        raise LegacyError(
            f"this pickle encodes text as {encoding!r}; arrays need latin1 alone."
        )
    return text.encode("latin1")


STAND_INS = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): lambda: b"",  # how Python 3 writes empty ones there
}


def _bytearray8(unpickler: Any) -> None:
    """Bytes of a length; Python's own makes room for the length before it reads."""
    (length,) = struct.unpack("<Q", unpickler.read(8))
    unpickler.append(bytearray(unpickler.read(length)))


# In Python: the unpickler in C takes gigabytes and minutes for a damaged memo index.
class _ArrayUnpickler(pickle._Unpickler):
    dispatch: ClassVar[dict[int, Any]] = {
        **pickle._Unpickler.dispatch,
        pickle.BYTEARRAY8[0]: _bytearray8,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in STAND_INS:
            raise LegacyError(
                f"this pickle names {module}.{name}; attack data may hold NumPy arrays and "
                "nothing else. Nothing of it was run."
            )
        return STAND_INS[module, name]


class _Bytes(io.BytesIO):
    """A file in memory that ends in an error, and never believes a length."""

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if size is not None and len(data) < size:
            raise EOFError("it ends too early")
        return data

    def readline(self, size: int | None = -1) -> bytes:
        line = super().readline(size)
        if not line.endswith(b"\n"):
            raise EOFError("it ends too early")
        return line
