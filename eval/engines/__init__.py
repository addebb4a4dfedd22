"""Where independent pieces of work are done: in this process, or on a Ray cluster."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, Self

from tqdm.auto import tqdm

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
        watched: whether what an item shows of its progress is seen.
    """

    watched: bool

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


def chosen(
    name: str, address: str | None, item_cpus: int | None, item_gpus: float
) -> Engine:
    """The engine that flags name.

    Args:
        name: "local" or "ray".
        address: of a Ray cluster; None starts one on this machine.
        item_cpus: that an item takes of the cluster; None: 1.
        item_gpus: likewise, a part of one where several items share it.

    Raises:
        EngineError: Ray is not installed.
        ClusterError: there is no cluster at the address, or it can do no item.
    """
    if name == "local":
        return Local()
    try:
        from eval.engines.ray_engine import Ray
    except ModuleNotFoundError as error:
        raise EngineError(
            "--engine=ray needs Ray; pip install '.[ray]' in the project's folder, here "
            "and on every node."
        ) from error
    return Ray(address, item_cpus or 1, item_gpus)


class EngineError(UserError, ValueError):
    """An engine cannot be had as it was asked for."""


class Local:
    """One item after the other, here."""

    watched = True

    def share(self, value: Any) -> Any:
        return value

    def run(self, items: Sequence[Item], unit: str) -> Iterator[tuple[int, Any]]:
        with tqdm(items, unit=unit, disable=not items or None) as bar:
            for place, item in enumerate(bar):
                bar.set_description(item.name)
                yield place, item.function(*item.args)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass
