"""Calls in other processes."""

import multiprocessing
import os
import signal
from concurrent.futures.process import BrokenProcessPool

import pytest

from magnet_cli import processes
from magnet_tf.errors import UserError

pytestmark = pytest.mark.slow  # each process loads TensorFlow


def where(common: dict, number: int) -> tuple:
    """What a process is asked: which it is, how often, and how many threads it has."""
    common["calls"] = common.get("calls", 0) + 1
    threads = os.environ["TF_NUM_INTRAOP_THREADS"]
    return number**2, os.getpid(), common["calls"], threads


def refuse(_, number: int) -> None:
    raise UserError(f"{number} is refused.")


def perish(_, number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_each_call_has_its_place_and_what_is_common_stays_in_a_process():
    found = dict(processes.run(where, {}, [(k,) for k in range(6)], 2, threads=3))
    assert [found[k][0] for k in range(6)] == [k**2 for k in range(6)]
    calls: dict[int, list] = {}
    for _, process, count, threads in found.values():
        calls.setdefault(process, []).append(count)
        assert process != os.getpid() and threads == "3"
    assert len(calls) <= 2
    for counts in calls.values():
        assert sorted(counts) == list(range(1, len(counts) + 1))
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(
    ("function", "error"), [(refuse, UserError), (perish, BrokenProcessPool)]
)
def test_what_is_raised_there_is_raised_here_and_ends_them(function, error):
    with pytest.raises(error):
        list(processes.run(function, None, [(k,) for k in range(4)], 2, threads=1))
    assert not multiprocessing.active_children()


def test_whoever_stops_listening_ends_them():
    running = processes.run(where, {}, [(k,) for k in range(4)], 2, threads=1)
    next(running)
    running.close()
    assert not multiprocessing.active_children()
