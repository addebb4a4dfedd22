"""A few inputs of every kind; `python -m tests.fuzz` tries as many as one likes."""

import hypothesis
import pytest

from tests.fuzz import cases
from tests.fuzz.kinds import KINDS


@pytest.mark.parametrize("name", KINDS)
def test_nothing_but_results_and_documented_errors(name):
    kind = KINDS[name]

    @cases.settings(
        max_examples=kind.in_ci,
        derandomize=True,
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink],
    )
    @hypothesis.given(kind.inputs)
    def try_one(value):
        cases.once(kind, value)

    try_one()


@pytest.mark.parametrize("name", ["store", "pickle", "command"])
def test_a_number_makes_the_same_input_again(name):
    one, other = (cases.numbered(name, KINDS[name], "7.3") for _ in range(2))
    assert repr(one) == repr(other)
    assert repr(cases.numbered(name, KINDS[name], "7.4")[0]) != repr(one[0])


def test_whatever_else_happens_is_a_failure():
    def broken(value, folder):
        return {}["value"]

    kind = cases.Kind(hypothesis.strategies.integers(), broken, share=1, in_ci=1)
    with pytest.raises(cases.Failure) as raised:
        cases.numbered("broken", kind, "1.0")
    assert isinstance(raised.value.args[0], int)
    assert isinstance(raised.value.__cause__, KeyError)


def test_an_error_of_several_lines_is_no_sentence():
    def several_lines():
        raise SystemExit("one\ntwo")

    with pytest.raises(AssertionError, match="no sentence"):
        cases.attempt(several_lines)
