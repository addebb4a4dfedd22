"""Pieces of work on Ray: a cluster, or all cores of this machine (`pip install '.[ray]'`)."""

import contextlib
import functools
import hashlib
import importlib
import logging
import math
import os
import platform
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Self

import keras
import numpy as np
import tensorflow as tf

RETRIES = 3  # of an item whose worker or node is gone
# Ray reads these as it is imported: for ever is what it retries what ran out of memory.
os.environ.setdefault("RAY_task_oom_retries", str(RETRIES))
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import ray

import magnet_tf
from eval.engines import Item, schedule
from eval.engines.schedule import ClusterError, LostError
from magnet_tf.errors import UserError

TOO_LITTLE = (
    "a worker had too little memory; give an item more of a machine with --item_cpus, so "
    "that fewer run at a time"
)
KEPT = 64  # shared values that a worker keeps


class Shared(NamedTuple):
    """A value that travels once to each node.

    Attributes:
        key: tells it from others.
        place: a list that holds where it is in Ray's object store; in a list, because Ray
            fetches a bare reference for each call anew.
    """

    key: str
    place: list


def versions() -> dict[str, str]:
    """What a worker must have as the driver has it, for the same results."""
    return {
        "magnet-tf": magnet_tf.__version__,
        "code": _code(),
        "TensorFlow": tf.__version__,
        "Keras": keras.__version__,
        "NumPy": np.__version__,
        "Python": ".".join(map(str, sys.version_info[:2])),
    }


@functools.cache
def _code() -> str:
    """A digest of this project's own modules, as they lie on the disk."""
    from pathlib import Path

    import attacks
    import eval
    import train

    digest = hashlib.sha256()
    for package in (attacks, eval, magnet_tf, train):
        root = Path(str(package.__file__)).parent
        for path in sorted(root.rglob("*.py")):
            digest.update(str(path.relative_to(root)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def call(
    wanted: dict[str, str], modules: Sequence[str], function: Callable, args: tuple
) -> Any:
    """What a worker does: looks whether it is like the driver, and calls.

    Args:
        wanted: the driver's `versions`.
        modules: the user's own, which register classes and attacks.
        function, args: what is called.

    Raises:
        ClusterError: it is not.
    """
    have = versions()
    if have != wanted:
        other = ", ".join(
            f"{name} {have[name]} (here {wanted[name]})"
            for name in wanted
            if have[name] != wanted[name]
        )
        raise ClusterError(
            f"a worker on {platform.node()} has {other}; install the same "
            "everywhere, since results would differ."
        )
    for name in modules:
        importlib.import_module(name)
    return function(
        *(_fetched(arg) if isinstance(arg, Shared) else arg for arg in args)
    )


def _fetched(shared: Shared) -> Any:
    if shared.key not in _values:
        while len(_values) >= KEPT:
            del _values[next(iter(_values))]
        _values[shared.key] = ray.get(shared.place[0])
    return _values[shared.key]


# A worker's; models stay the same objects from call to call.
_values: dict[str, Any] = {}


def answers(address: str | None) -> None:
    """That something listens at HOST:PORT; Ray itself would try for a quarter of an hour.

    Raises:
        OSError, ValueError: nothing does, or there is no such port.
    """
    host, colon, port = (address or "").rpartition(":")
    if colon and "/" not in host:
        socket.create_connection((host, int(port)), timeout=10).close()


class RayCluster:
    """Ray, as the schedule sees it.

    Args:
        cpus: of an item; TensorFlow computes on as many.
        gpus: of an item; a part of one where several items share it.
        modules: that a worker imports first.
    """

    def __init__(self, cpus: int, gpus: float, modules: Sequence[str]):
        self._cpus, self._gpus = cpus, gpus
        self._given = versions(), list(modules)
        self._seen, self._at = (0, 0), -math.inf
        self._call = ray.remote(
            num_cpus=cpus, num_gpus=gpus, max_retries=RETRIES, retry_exceptions=False
        )(call)

    def slots(self) -> int:
        """How many items it can do at a time by now."""
        return self._glance()[0]

    def nodes(self) -> int:
        """How many machines it has by now."""
        return self._glance()[1]

    def _glance(self) -> tuple[int, int]:
        """Slots and nodes, not asked for with every item."""
        if time.monotonic() - self._at > schedule.GLANCE:
            have = ray.cluster_resources()
            slots = int(have.get("CPU", 0) // self._cpus)
            if self._gpus:
                slots = min(slots, int(have.get("GPU", 0) / self._gpus))
            self._seen = slots, sum(node["Alive"] for node in ray.nodes())
            self._at = time.monotonic()
        return self._seen

    def submit(self, function: Callable, args: tuple) -> Any:
        """Begins a call."""
        return self._call.remote(*self._given, function, args)

    def ready(self, handles: Sequence[Any], seconds: float) -> list[Any]:
        """Those whose calls have ended."""
        return ray.wait(list(handles), num_returns=1, timeout=seconds)[0]

    def result(self, handle: Any) -> Any:
        """What a call returned, or raised."""
        try:
            return ray.get(handle)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, UserError):
                raise error.cause from None
            if isinstance(error.cause, MemoryError | tf.errors.ResourceExhaustedError):
                raise LostError(f"{TOO_LITTLE}.") from error
            if lacking := re.search(r"ModuleNotFoundError: (.*)", str(error)):
                raise ClusterError(
                    f"a worker has not what it needs ({lacking[1]}); install this package "
                    "and your own modules on every node."
                ) from error
            raise
        except ray.exceptions.RuntimeEnvSetupError as error:
            raise ClusterError(f"a worker could not be set up: {error}.") from error
        except ray.exceptions.OutOfMemoryError as error:
            raise LostError(f"{TOO_LITTLE}.") from error
        except (
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.NodeDiedError,
            ray.exceptions.ObjectLostError,
            ray.exceptions.LocalRayletDiedError,
        ) as error:
            first = str(error).strip().splitlines()[0].rstrip(".")
            raise LostError(f"{type(error).__name__}: {first}.") from error

    def cancel(self, handles: Sequence[Any]) -> None:
        """Ends calls, their processes with them."""
        for handle in handles:
            with contextlib.suppress(Exception):
                if ray.is_initialized():  # or a new Ray would be started for it
                    ray.cancel(handle, force=True)


class Ray:
    """Items on Ray; at the end, what was started here is stopped.

    Args:
        address: of a cluster, "auto" for the one of this machine; None starts one here.
        cpus: of an item.
        gpus: of an item.
        modules: that a worker imports first.

    Raises:
        ClusterError: there is no cluster at the address, or it can do no item.
    """

    here = False

    def __init__(
        self, address: str | None, cpus: int, gpus: float, modules: Sequence[str]
    ):
        environment = {
            "TF_NUM_INTRAOP_THREADS": str(cpus),
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "KERAS_BACKEND": "tensorflow",
        }
        try:
            answers(address)
            ray.init(
                address=address or "local",
                runtime_env={"env_vars": environment},
                log_to_driver=False,
                logging_level=logging.ERROR,
                include_dashboard=None if address else False,
            )
        except (OSError, RuntimeError, ValueError) as error:
            why = " ".join(str(error).split()).rstrip(".")
            raise ClusterError(
                f"no Ray cluster can be had at {address or 'this machine'} ({why}); start "
                "one with 'ray start --head', set RAY_AUTH_MODE=token where it asks for "
                "Ray's token, or leave --ray_address out."
            ) from error
        self._cluster = RayCluster(cpus, gpus, modules)
        self._shared: dict[int, tuple[Any, Shared]] = {}
        if self._cluster.slots() < 1:
            have = ray.cluster_resources()
            ray.shutdown()
            raise ClusterError(
                f"an item asks for {cpus} CPUs and {gpus:g} GPUs, and the cluster has "
                f"{have.get('CPU', 0):g} and {have.get('GPU', 0):g}; ask for less with "
                "--item_cpus and --item_gpus."
            )

    def share(self, value: Any) -> Shared:
        """Puts a value into the object store; the same one only once."""
        if id(value) not in self._shared:
            place = ray.put(value)
            self._shared[id(value)] = value, Shared(place.hex(), [place])
        return self._shared[id(value)][1]

    def run(self, items: Sequence[Item], unit: str) -> Iterator[tuple[int, Any]]:
        """Does the items; see `schedule.run`."""
        return schedule.run(self._cluster, items, unit)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        ray.shutdown()
