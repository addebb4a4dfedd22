"""What a file of the original's users is not."""

import contextlib
import os
from collections.abc import Iterator

from magnet_tf.errors import UserError


class LegacyError(UserError, ValueError):
    """A file is not what the original wrote, or holds what is not read; names file and part."""


@contextlib.contextmanager
def naming(path: str | os.PathLike) -> Iterator[None]:
    """Whatever goes wrong while a file is read becomes one LegacyError that names the file."""
    try:
        yield
    except LegacyError as error:
        raise _named(path, error) from error.__cause__
    except Exception as error:
        kind = type(error).__name__
        raise _named(
            path, f"this is not as Keras 2 or the original wrote it ({kind}: {error})."
        ) from error


def _named(path: str | os.PathLike, reason: object) -> LegacyError:
    return LegacyError(f"{os.fspath(path)}: {' '.join(str(reason).split())}")
