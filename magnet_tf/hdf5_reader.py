"""The program that `magnet_tf.hdf5` runs to read a file that may be damaged.

It takes an HDF5 file's bytes on its standard input. It stands alone, and imports neither
Keras nor this package, so that it starts in a fraction of a second.
"""

import io
import json
import sys

import h5py
import numpy as np

EXPANSION = 100  # arrays of more than so many times the file's size are a trap


def contents(file_bytes: bytes, keep: bool) -> tuple[dict, dict[str, np.ndarray]]:
    """What an HDF5 file holds; all of it is read.

    Args:
        file_bytes: the file's.
        keep: whether arrays are wanted, and not only whether they can be read.

    Returns:
        {"attributes": {object: {name: a text or a list of texts}}, "problems": {array: why it
        could not be read}}, and the arrays of numbers {object: array}; an object is named by
        its path, the file itself "/".

    Raises:
        OSError, RuntimeError, ValueError: the file is not HDF5, or is damaged.
    """
    attributes: dict[str, dict] = {}
    arrays: dict[str, np.ndarray] = {}
    problems: dict[str, str] = {}
    room = EXPANSION * len(file_bytes)

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        nonlocal room
        attributes[name] = {key: texts(value) for key, value in item.attrs.items()}
        if not isinstance(item, h5py.Dataset):
            return
        if item.external or item.is_virtual:
            problems[name] = "its numbers lie in another file"
        elif item.nbytes > room:
            problems[name] = "it claims to be far larger than its file"
        else:
            try:
                array = item[()]
            except (OSError, RuntimeError, ValueError) as error:
                problems[name] = str(error)
            else:
                room -= item.nbytes
                if keep and item.dtype.kind in "biuf":
                    arrays[name] = array

    with h5py.File(io.BytesIO(file_bytes), "r") as file:
        visit("/", file)
        file.visititems(visit)
    return {"attributes": attributes, "problems": problems}, arrays


def texts(value: object) -> str | list[str] | None:
    """An attribute's text or texts; None where it holds something else."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, str):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "SUO":
        return [
            one.decode() if isinstance(one, bytes) else str(one) for one in value.flat
        ]
    return None


def main() -> None:
    """Writes the contents to the standard output as a NumPy archive, or why there are none."""
    keep = sys.argv[1:] != ["--check"]
    try:
        outline, arrays = contents(sys.stdin.buffer.read(), keep)
    except (OSError, RuntimeError, ValueError, KeyError, MemoryError) as error:
        outline, arrays = {"refused": f"{type(error).__name__}: {error}"}, {}
    outline["arrays"] = list(arrays)
    archive = {f"array_{index}": array for index, array in enumerate(arrays.values())}
    text = np.frombuffer(json.dumps(outline).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, outline=text, **archive)
    sys.stdout.buffer.write(buffer.getvalue())


if __name__ == "__main__":
    main()
