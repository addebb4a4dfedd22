"""Functions called in several processes of this machine, each of which computes on few processors.

A light module: a process that begins has TensorFlow's notes silenced before they are written.
"""

import contextlib
import importlib
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Any

import tqdm

from magnet_cli.command import quieten

AT_MOST = 8  # each holds TensorFlow, a quarter of a gigabyte


def cores() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def travels(value: Any) -> bool:
    """Whether another process can have a value."""
    try:
        pickle.loads(pickle.dumps(value))
    except Exception:  # noqa: BLE001 (whatever a user's own class raises)
        return False
    return True


def run(
    function: Callable,
    common: Any,
    each: Sequence[tuple],
    at_once: int,
    threads: int,
    modules: Sequence[str] = (),
) -> Iterator[tuple[int, Any]]:
    """Calls function(common, *own) for each `own`.

    Args:
        function: of a module; what it raises is raised here.
        common: travels once to each process, and stays the same object there.
        each: what the calls have of their own.
        at_once: processes, of which there are `AT_MOST` at most.
        threads: that TensorFlow has in each.
        modules: that each imports first.

    Yields:
        The place of a call and its result, as they become ready.

    Raises:
        concurrent.futures.process.BrokenProcessPool: a process ended by itself.
    """
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(
        min(at_once, AT_MOST),
        # a copy of a process with TensorFlow's threads would have its locks, and not them
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(threads, tuple(modules), pickle.dumps((function, common))),
    )
    try:
        waiting = {pool.submit(_call, own): place for place, own in enumerate(each)}
        for future in as_completed(waiting):
            yield waiting.pop(future), future.result()
    except BaseException:
        # what is under way would take its time, and is wanted no more
        for child in set(multiprocessing.active_children()) - before:
            child.terminate()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


_called: tuple[Callable, Any]  # a process's


def _begin(threads: int, modules: Sequence[str], pickled: bytes) -> None:
    global _called
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who is interrupted ends this one
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # its own is a semaphore of the system's, which an end by force would leave there
    tqdm.tqdm.set_lock(threading.RLock())
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(threads)
    quieten()
    for name in modules:
        importlib.import_module(name)
    _called = pickle.loads(pickled)


def _end_with_parent() -> None:
    """A parent that is killed leaves nobody who would end this process."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        with contextlib.suppress(Exception):
            parent.join()
            os._exit(1)


def _call(own: tuple) -> Any:
    function, common = _called
    return function(common, *own)
