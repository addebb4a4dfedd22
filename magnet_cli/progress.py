"""How far long work is: a bar where somebody watches, a line a minute in a file."""

import sys
import time
from collections.abc import Iterable
from typing import Any, TextIO

import tqdm.auto

SECONDS_BETWEEN_LINES = 60.0


def progress(items: Iterable | None = None, **settings: Any) -> tqdm.std.tqdm:
    """tqdm's bar in a terminal or a notebook; elsewhere its text as lines, for a job's log.

    Args:
        items: what is gone through; None where `update` is called instead.
        settings: tqdm's.
    """
    in_notebook = tqdm.autonotebook.tqdm is not tqdm.std.tqdm
    if not (in_notebook or sys.stderr.isatty()):
        settings["file"] = Lines(sys.stderr)
    return tqdm.auto.tqdm(items, **settings)


class Lines:
    """What a bar is drawn on where there is no terminal; work of less than a minute has none."""

    def __init__(self, file: TextIO):
        self._file, self._last = file, time.monotonic()

    def write(self, text: str) -> None:
        now = time.monotonic()
        if (line := text.strip()) and now - self._last >= SECONDS_BETWEEN_LINES:
            self._file.write(line + "\n")
            self._last = now

    def flush(self) -> None:
        self._file.flush()
