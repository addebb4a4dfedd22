"""What a kind of input is, and how one of it is made again from its number."""

import contextlib
import io
import os
import random
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
from hypothesis import strategies as st

import attacks
from magnet_tf.errors import UserError

RESULT = "result"
# What is said of bad input. An OSError is the operating system's word, as commands print it.
DOCUMENTED = (UserError, attacks.InputError, SystemExit)
BYTES = 2**14  # of randomness, more than any input takes
SECONDS = 120  # what takes longer hangs


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    Attributes:
        inputs: what is drawn; its `repr` says what it was.
        run: from an input and an empty folder to the outcome, "result" or the name of the
            documented error; raises whatever else happens.
        share: so many inputs for the others' shares.
        in_ci: so many are tried by pytest.
    """

    inputs: st.SearchStrategy
    run: Callable[[Any, Path], str]
    share: int
    in_ci: int


def attempt(function: Callable[[], Any], *names: object) -> tuple[Any, str]:
    """What a function gives, and "result"; or None, and the name of its documented error.

    Args:
        function: under test.
        names: what the error's one sentence must name.
    """
    try:
        return function(), RESULT
    except DOCUMENTED as error:
        sentence = str(error)
        assert sentence.strip() and "\n" not in sentence, f"no sentence: {sentence!r}"
        assert sentence[0] != "'", f"a bare key: {sentence!r}"
        for name in names:
            assert str(name) in sentence, f"{name} is not named: {sentence!r}"
        return None, type(error).__name__


@contextlib.contextmanager
def at_rest(folder: Path) -> Iterator[io.StringIO]:
    """A quiet place to try something in: its folder, what it prints, and how long it may take."""
    said, here = io.StringIO(), Path.cwd()

    def too_long(*_: object) -> None:
        raise TimeoutError(f"it takes longer than {SECONDS} seconds")

    alarm = getattr(signal, "SIGALRM", None)
    before = signal.signal(alarm, too_long) if alarm else None
    if alarm:
        signal.alarm(SECONDS)
    os.chdir(folder)
    try:
        with (
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield said
    finally:
        os.chdir(here)
        if alarm:
            signal.alarm(0)
            signal.signal(alarm, before)


def once(kind: Kind, value: Any) -> str:
    """The outcome of one input, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder, at_rest(Path(folder)):
        return kind.run(value, Path(folder))


def settings(**more: Any) -> hypothesis.settings:
    """Hypothesis's, without what it remembers of earlier runs."""
    return hypothesis.settings(
        database=None,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
        **more,
    )


def numbered(name: str, kind: Kind, number: str) -> tuple[Any, str]:
    """One input of a kind, and its outcome.

    Args:
        name: of the kind.
        kind: itself.
        number: of the input; the same one makes the same input.

    Returns:
        The input and the outcome; the input is None where Hypothesis could make none.

    Raises:
        Failure: it is neither a result nor a documented error.
    """
    seen: list = []
    outcome: list[str] = []

    @settings()
    @hypothesis.given(kind.inputs)
    def try_one(value: Any) -> None:
        seen.append(value)
        outcome.append(once(kind, value))

    drawn = random.Random(f"{name}:{number}").randbytes(BYTES)
    try:
        try_one.hypothesis.fuzz_one_input(drawn)  # type: ignore[attr-defined]
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise Failure(seen[-1] if seen else None) from error
    return (seen[-1], outcome[-1]) if outcome else (None, "none made")


class Failure(Exception):
    """Neither a result nor a documented error; the input is its argument."""
