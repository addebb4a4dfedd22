"""Where independent pieces of work are done: in this process, or on a Ray cluster."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, Self

from magnet_cli.progress import progress
from magnet_tf.errors import UserError


class Item(NamedTuple):
    """A piece of work that depends on no other.

    Attributes:
        name: as it stands beside a progress bar and in messages.
        function: of a module, so that another process finds it.
        args: small, or from `Engine.share`.
    """

    name: str
    function: Callable
    args: tuple


class Engine(Protocol):
    """Does pieces of work; use it in a `with`, which ends what it has started.

    Attributes:
        here: whether items run in this process, so that what they show is seen and the
            files that they write stay.
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
            one on this machine; `item_cpus` and `item_gpus`, that an item takes of it;
            `modules`, that a worker imports first.

    Raises:
        EngineError: Ray is not installed.
        ClusterError: there is no cluster at the address, or it can do no item.
    """
    if args.engine == "local":
        return Local()
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


class Local:
    """One item after the other, here."""

    here = True

    def share(self, value: Any) -> Any:
        return value

    def run(self, items: Sequence[Item], unit: str) -> Iterator[tuple[int, Any]]:
        with progress(items, unit=unit, disable=not items) as bar:
            for place, item in enumerate(bar):
                bar.set_description(item.name)
                yield place, item.function(*item.args)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass
