"""Which items a cluster works on, and which next: the part that knows nothing of Ray."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from eval.engines import Item
from magnet_cli.progress import progress
from magnet_tf.errors import UserError

AHEAD = 2  # items a slot has been given, so that none waits for the driver
GLANCE = 1.0  # seconds after which the cluster is looked at again


class ClusterError(UserError, RuntimeError):
    """The cluster is not there, is not like this machine, or cannot do an item."""


class Cluster(Protocol):
    """What does calls somewhere else."""

    def slots(self) -> int:
        """How many calls it can do at a time by now."""

    def nodes(self) -> int:
        """How many machines it has by now."""

    def submit(self, function: Callable, args: tuple) -> Any:
        """Begins a call; its handle."""

    def ready(self, handles: Sequence[Any], seconds: float) -> list[Any]:
        """Those of the handles whose calls have ended, after so many seconds at most."""

    def result(self, handle: Any) -> Any:
        """What a call returned.

        Raises:
            LostError: what did it is gone, however often it was tried.
        """

    def cancel(self, handles: Sequence[Any]) -> None:
        """Ends calls whose results nobody wants any more."""


class LostError(Exception):
    """What did an item is gone, or had too little memory, and so had others that tried it."""


def run(
    cluster: Cluster, items: Sequence[Item], unit: str
) -> Iterator[tuple[int, Any]]:
    """Does the items on a cluster, a few ahead of what it can do at a time.

    What is given out is bounded, so that the driver holds few results however many workers
    there are, and workers that join get their share.

    Args:
        cluster: that does them.
        items: in no order that matters.
        unit: what an item is called beside the bar.

    Yields:
        The place of an item and its result, as they become ready.

    Raises:
        ClusterError: an item was lost with several workers, or it has none.
        UserError: an item raised it.
    """
    waiting = iter(enumerate(items))
    flying: dict[Any, int] = {}
    done = 0
    with progress(total=len(items), unit=unit, disable=not items) as bar:
        try:
            while done < len(items):
                room = max(1, AHEAD * cluster.slots())
                while len(flying) < room and (following := next(waiting, None)):
                    place, item = following
                    flying[cluster.submit(item.function, item.args)] = place
                ended = cluster.ready(list(flying), GLANCE)
                for handle in ended:
                    place = flying.pop(handle)
                    try:
                        result = cluster.result(handle)
                    except LostError as error:
                        raise ClusterError(
                            f"{items[place].name} (item {place + 1} of {len(items)}) could "
                            f"not be done: {error} What is done is kept; the same command "
                            "goes on."
                        ) from error
                    done += 1
                    bar.update()
                    yield place, result
                now = f"in flight {len(flying)}, nodes {cluster.nodes()}"
                bar.set_postfix_str(now, refresh=not ended)
        finally:
            cluster.cancel(list(flying))
