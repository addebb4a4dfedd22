"""A result is taken apart and joined by its own methods."""

import numpy as np

from attacks import AttackResult
from attacks.result import measured


def made(count: int) -> AttackResult:
    random = np.random.RandomState(count)
    images = random.uniform(size=(count, 3, 3, 1)).astype(np.float32)
    examples = random.uniform(size=images.shape).astype(np.float32)
    return measured(images, examples, np.arange(count) % 2 == 0, np.arange(count) / 2)


def assert_same(one: AttackResult, other: AttackResult) -> None:
    for field, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(field, theirs)
        assert field.dtype == theirs.dtype


def test_joined_and_the_first_of_it():
    one, other = made(5), made(3)
    joined = AttackResult.joined([one, other])
    assert_same(joined.first(5), one)
    assert_same(AttackResult(*(field[5:] for field in joined)), other)


def test_arrays_and_back():
    result = made(4)
    arrays = result.arrays()
    assert list(arrays) == list(AttackResult._fields)
    assert_same(AttackResult(**arrays), result)


def test_it_prints_as_a_summary():
    result = made(4)
    expected = result.l2[[0, 2]].mean()  # those that succeeded
    start = "<AttackResult: success on 2 of 4 images [3, 3, 1], mean l1 "
    assert repr(result).startswith(start)
    assert f", l2 {expected:.4g}, linf " in repr(result)
    failed = measured(
        result.adversarial, result.adversarial, np.zeros(4, bool), result.const
    )
    assert repr(failed) == "<AttackResult: success on 0 of 4 images [3, 3, 1]>"
