"""Where independent pieces of work are done: in this process, or on a Ray cluster."""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NamedTuple, Protocol, Self

from magnet_cli import processes
from magnet_cli.progress import progress
from magnet_tf.errors import UserError


class Item(NamedTuple):
    """A piece of work that depends on no other.

    Attributes:
        name: as it stands beside a progress bar and in messages.
        function: of a module, so that another process finds it.
        args: small, or from `Engine.share`.
        small: whether what it computes is too small to occupy several processors, so that
            several such items, whose first argument is the same, are better done at a time.
    """

    name: str
    function: Callable
    args: tuple
    small: bool = False


class Engine(Protocol):
    """Does pieces of work; use it in a `with`, which ends what it has started.

    Attributes:
        here: whether the files that items write stay, on this machine.
    """

    here: bool

    def share(self, value: Any) -> Any:
        """A value that many items take, in a form that travels once."""

    def run(self, items: Sequence[Item], unit: str) -> Iterator[tuple[int, Any]]:
        """Does the items, and shows how far it is.

        Args:
            items: in no order that matters.
            unit: what an item is called beside the bar.

        Yields:
            The place of an item and its result, as they become ready.
        """

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def chosen(args: Any) -> Engine:
    """The engine that flags name.

    Args:
        args: the flags `engine`, "local" or "ray"; `ray_address`, of a cluster, None starts
            one on this machine; `item_cpus` and `item_gpus`, that an item takes of it, the
            first one also here; `modules`, that a worker imports first.

    Raises:
        EngineError: Ray is not installed.
        ClusterError: there is no cluster at the address, or it can do no item.
    """
    if args.engine == "local":
        return Local(args.item_cpus or 1, args.modules or ())
    try:
        from eval.engines.ray_engine import Ray
    except ModuleNotFoundError as error:
        raise EngineError(
            "--engine=ray needs Ray; pip install '.[ray]' in the project's folder, here "
            "and on every node."
        ) from error
    asked = args.item_cpus or 1, args.item_gpus
    return Ray(args.ray_address, *asked, args.modules or ())


class EngineError(UserError, ValueError):
    """An engine cannot be had as it was asked for."""


LONG = 30.0  # seconds; other processes take some 8 to begin, and a third off


class Local:
    """One item after the other, here; small ones that take long in several processes.

    Convolutions of images such as MNIST's are too small to be shared out: two processes of one
    thread craft half as fast again as one of two. How long items take is seen of those that
    are done here.

    Args:
        item_cpus: processors that a small item takes; None: all, so that none has a process
            of its own.
        modules: the user's own, which other processes import first.
    """

    here = True

    def __init__(self, item_cpus: int | None = None, modules: Sequence[str] = ()):
        self._item_cpus, self._modules = item_cpus, modules
        self._others: Generator | None = None

    def share(self, value: Any) -> Any:
        return value

    def run(self, items: Sequence[Item], unit: str) -> Iterator[tuple[int, Any]]:
        with progress(total=len(items), unit=unit, disable=not items) as bar:
            for place, found in self._done(items, bar.set_description):
                yield place, found
                bar.update()

    def _done(
        self, items: Sequence[Item], say: Callable[[str], None]
    ) -> Iterator[tuple[int, Any]]:
        for place, item in enumerate(items):
            say(item.name)
            begun = time.monotonic()
            found = item.function(*item.args)
            seconds = time.monotonic() - begun
            yield place, found
            rest = items[place + 1 :]
            if seconds * len(rest) > LONG and (others := self._in_processes(rest)):
                self._others = others
                for further, found in others:
                    say(rest[further].name)
                    yield place + 1 + further, found
                return

    def _in_processes(self, items: Sequence[Item]) -> Generator | None:
        """What other processes make of items; None where these are better done here."""
        import tensorflow as tf

        if self._item_cpus is None or tf.config.list_physical_devices("GPU"):
            return None  # processes that share a GPU are none the faster
        at_once = min(processes.cores() // self._item_cpus, len(items))
        if at_once < 2:
            return None
        first = items[0]
        alike = all(
            of.small and of.function is first.function and of.args[0] is first.args[0]
            for of in items
        )
        if not (alike and processes.travels(first.args[0])):
            return None
        return _in_a_sentence(
            processes.run(
                first.function,
                first.args[0],
                [item.args[1:] for item in items],
                at_once,
                self._item_cpus,
                self._modules,
            )
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._others:
            self._others.close()


def _in_a_sentence(results: Iterator[tuple[int, Any]]) -> Generator:
    """The results; a process that is gone is a user's matter, and no traceback."""
    try:
        yield from results
    except BrokenProcessPool as error:
        raise EngineError(
            "a process that was started for some of the work has ended by itself, perhaps "
            "for want of memory. What was finished is kept, and the same command goes on; "
            f"with --item_cpus={processes.cores()} it starts no process."
        ) from error
