"""What a check found."""

from typing import NamedTuple


class Finding(NamedTuple):
    """An answer.

    Attributes:
        status: "pass", "fail" or "not applicable".
        value: the number that decided; None where nothing was measured.
        why: the number in words, or why there is none.
    """

    status: str
    value: float | None
    why: str


def judged(passes: bool, value: float, why: str) -> Finding:
    """A pass or a fail."""
    return Finding("pass" if passes else "fail", float(value), why)


def none(why: str) -> Finding:
    """Nothing that could be measured."""
    return Finding("not applicable", None, why)
