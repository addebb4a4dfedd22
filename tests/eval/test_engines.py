"""Where work is done: the schedule on a simulated cluster, and Ray where it is installed."""

import contextlib
import heapq
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import magnet_cli
from eval import engines, experiment, oblivious, publication, work
from eval.arguments import FlagError
from eval.engines import EngineError, Item, Local, schedule
from eval.engines.schedule import ClusterError, LostError
from magnet_tf.errors import UserError


class Simulated:
    """Workers on a clock of their own; a call takes as long as its first argument says."""

    def __init__(self, workers: int, lost: frozenset = frozenset()):
        self.workers, self.lost = workers, lost
        self.now, self.most, self.cancelled = 0.0, 0, None
        self._queue, self._busy, self._ended = [], [], {}
        self._calls = 0

    def slots(self) -> int:
        return self.workers

    def nodes(self) -> int:
        return 1

    def submit(self, function, args):
        self._calls += 1
        self._queue.append((self._calls, function, args))
        self._begin()
        flying = len(self._queue) + len(self._busy) + len(self._ended)
        self.most = max(self.most, flying)
        return self._calls

    def _begin(self) -> None:
        while self._queue and len(self._busy) < self.workers:
            handle, function, args = self._queue.pop(0)
            heapq.heappush(self._busy, (self.now + args[0], handle, function, args))

    def ready(self, handles, seconds):
        if not self._ended and self._busy:
            self.now, handle, function, args = heapq.heappop(self._busy)
            self._ended[handle] = function, args
            self._begin()
        return [handle for handle in handles if handle in self._ended][:1]

    def result(self, handle):
        function, args = self._ended.pop(handle)
        if handle in self.lost:
            raise LostError("NodeDiedError: the node is gone.")
        return function(*args)

    def cancel(self, handles) -> None:
        self.cancelled = list(handles)


def twice(duration: float) -> float:
    return 2 * duration


def items(durations) -> list[Item]:
    return [Item(f"part {k}", twice, (of,)) for k, of in enumerate(durations)]


def test_everything_is_done_once_and_in_its_place():
    durations = np.random.default_rng(0).uniform(1, 5, 100)
    for engine in (lambda of: Local().run(of, "x"), run_on(Simulated(7))):
        found = dict(engine(items(durations)))
        assert found == dict(enumerate(2 * durations))


def run_on(cluster):
    return lambda of: schedule.run(cluster, of, "x")


def test_two_hundred_workers_are_kept_busy_and_little_is_held():
    durations = np.random.default_rng(0).uniform(10, 60, 4000)
    cluster = Simulated(200)
    assert sum(1 for _ in schedule.run(cluster, items(durations), "x")) == 4000
    assert durations.sum() / (200 * cluster.now) >= 0.9
    assert cluster.most <= schedule.AHEAD * 200


def test_workers_that_join_late_are_used():
    cluster = Simulated(1)
    for done, _ in enumerate(schedule.run(cluster, items([1.0] * 100), "x")):
        if done == 9:
            cluster.workers = 10
    assert cluster.now == pytest.approx(10 + 90 / 10, abs=2)


def test_an_item_that_is_lost_is_named_and_the_rest_is_ended():
    cluster = Simulated(2, lost=frozenset([3]))
    done = []
    with pytest.raises(
        ClusterError, match=r"part 2 \(item 3 of 9\).*gone.*the same command"
    ):
        for place, _ in schedule.run(cluster, items([1.0] * 9), "x"):
            done.append(place)
    assert done == [0, 1] and len(cluster.cancelled) == 3


def test_whoever_stops_listening_ends_what_is_in_flight():
    cluster = Simulated(2)
    running = schedule.run(cluster, items([1.0] * 9), "x")
    assert isinstance(running, Iterator) and next(running)
    running.close()
    assert len(cluster.cancelled) == 3


def test_a_users_mistake_stays_one_sentence():
    def refuse(_):
        raise UserError("beta must be at least 0.")

    cluster = Simulated(1)
    with pytest.raises(UserError, match="beta"):
        list(schedule.run(cluster, [Item("x", refuse, (1.0,))], "x"))


def test_flags_of_ray_without_ray_are_refused(monkeypatch):
    flags = magnet_cli.parsed(oblivious.COMMAND, ["--ray_address=auto"])
    with pytest.raises(FlagError, match="add --engine=ray"):
        experiment.check_flags(flags)
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "eval.engines.ray_engine", raising=False)
    flags = magnet_cli.parsed(oblivious.COMMAND, ["--engine=ray"])
    with pytest.raises(EngineError, match=r"needs Ray; pip install '.\[ray\]'"):
        engines.chosen(flags)


# With Ray: nodes are processes of this machine

SMALL = ["--num_examples=48", "--attacks=cw", "--confidences=0", "--variants=D"]
DRIVER = """
import sys
import magnet_cli
from eval import oblivious, publication, work
work.CHUNK = 8
publication.figures.write = lambda *_: None
def run(*flags):
    magnet_cli.main(oblivious.COMMAND, [*sys.argv[1:], *flags])
"""
NODES = """
import threading, time
from pathlib import Path
import ray
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
others = [cluster.add_node(num_cpus=1) for _ in range(2)]
done = Path(sys.argv[-1].removeprefix("--output_dir=")) / "attacks"
def kill():
    while not list(done.glob("*.npz")):
        time.sleep(0.02)
    cluster.remove_node(others[0], allow_graceful=False)
    print("killed a node with", len(list(done.glob("*.npz"))), "parts done", flush=True)
threading.Thread(target=kill, daemon=True).start()
try:
    run("--engine=ray", f"--ray_address={cluster.address}")
finally:
    ray.shutdown()
    cluster.shutdown()
"""
PARTS = 6


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """What the local engine's results are."""
    pytest.importorskip("ray", reason="Ray is not installed")
    return evaluated_here(tmp_path_factory.mktemp("local"))


def evaluated_here(directory: Path) -> bytes:
    """Results of the local engine, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "CHUNK", 8)
        patch.setattr(publication.figures, "write", lambda *_: None)
        magnet_cli.main(oblivious.COMMAND, [*SMALL, f"--output_dir={directory}"])
    return (directory / "results.json").read_bytes()


def started(script: str, directory: Path, mark: str = "") -> subprocess.Popen:
    """A driver in a process group of its own, as a terminal starts it."""
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER + script, *SMALL, f"--output_dir={directory}"],
        env={**os.environ, "MAGNET_TEST": mark, "RAY_worker_niceness": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_a_node_is_killed_midway_and_the_results_are_the_local_ones(local, tmp_path):
    with started(NODES, tmp_path) as driver:
        said, complaints = driver.communicate()
    (parts,) = re.findall(r"killed a node with (\d) parts done", said) or [complaints]
    assert 1 <= int(parts) < PARTS, complaints
    assert (tmp_path / "results.json").read_bytes() == local


def test_a_driver_is_killed_and_interrupted_and_the_same_command_goes_on(
    local, tmp_path
):
    """What is done is kept; after Ctrl-C no process is left, of the killed one neither."""
    script = "run('--engine=ray')"

    def parts() -> int:
        return len(list(tmp_path.glob("attacks/*.npz")))

    for how in (signal.SIGKILL, signal.SIGINT):
        reused = parts()
        with started(script, tmp_path, mark=str(tmp_path)) as driver:
            while parts() == reused:
                assert driver.poll() is None, driver.stderr.read()
                time.sleep(0.02)
            os.killpg(driver.pid, how)  # as a terminal does
            said, complaints = driver.communicate()
        assert parts() < PARTS
    assert processes_of(str(tmp_path)) == []
    assert driver.returncode == 1
    assert f"attacks: {reused} of {PARTS} parts reused" in said
    last = "eval.oblivious: interrupted; the same command goes on."
    assert complaints.strip().splitlines()[-1] == last
    assert "Traceback" not in complaints
    assert evaluated_here(tmp_path) == local  # goes on, by whichever engine


def processes_of(mark: str, seconds: float = 20) -> list[str]:
    """The processes that inherited a mark and are still there after a while."""
    end = time.monotonic() + seconds
    while True:
        left = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"MAGNET_TEST={mark}".encode() in (folder / "environ").read_bytes():
                    left.append((folder / "cmdline").read_bytes().decode())
        if not left or time.monotonic() > end:
            return left
        time.sleep(0.1)


LATE = """
import time
import ray
from ray.cluster_utils import Cluster
from eval.engines import Item
from eval.engines.ray_engine import Ray
def where():
    time.sleep(0.2)
    return ray.get_runtime_context().get_node_id()
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
first, nodes, late = cluster.head_node.node_id, [], None
with Ray(cluster.address, 1, 0, ()) as engine:
    for _, node in engine.run([Item(f"part {k}", where, ()) for k in range(400)], "part"):
        nodes.append(node)
        late = late or cluster.add_node(num_cpus=1)
        if nodes.count(late.node_id) == 10:
            break
cluster.shutdown()
print(set(nodes) == {first, late.node_id}, nodes.count(late.node_id))
"""


def test_a_node_that_joins_late_is_used():
    pytest.importorskip("ray", reason="Ray is not installed")
    driver = subprocess.run(
        [sys.executable, "-c", LATE], check=False, capture_output=True, text=True
    )
    assert driver.stdout.split() == ["True", "10"], driver.stderr


FULL = """
import sys, time
from eval.engines import Item
from eval.engines.ray_engine import Ray
from eval.engines.schedule import ClusterError
with Ray(None, 1, 0, ()) as engine:
    try:
        list(engine.run([Item("the large part", time.sleep, (60,))], "part"))
    except ClusterError as error:
        sys.exit(str(error))
"""


@pytest.mark.slow
def test_an_item_that_rays_memory_monitor_kills_is_named():
    """To a monitor that allows next to nothing every item is too large."""
    pytest.importorskip("ray", reason="Ray is not installed")
    monitor = {"usage_threshold": "0.001", "monitor_refresh_ms": "100"}
    driver = subprocess.run(
        [sys.executable, "-c", FULL],
        check=False,
        env={**os.environ, **{f"RAY_memory_{k}": v for k, v in monitor.items()}},
        capture_output=True,
        text=True,
    )
    assert driver.returncode == 1
    assert re.match(
        r"the large part \(item 1 of 1\) .* too little memory; .*--item_cpus.* goes on\.$",
        driver.stderr.strip().splitlines()[-1],
    )


def test_a_worker_of_another_version_is_refused_in_a_sentence():
    pytest.importorskip("ray", reason="Ray is not installed")
    from eval.engines import ray_engine

    wanted = ray_engine.versions()
    assert ray_engine.call(wanted, [], twice, (2.0,)) == 4.0
    with pytest.raises(
        ClusterError, match=r"has TensorFlow .* \(here 1\.0\); install the same"
    ):
        ray_engine.call({**wanted, "TensorFlow": "1.0"}, [], twice, (2.0,))


def test_an_address_without_a_cluster_is_one_sentence():
    pytest.importorskip("ray", reason="Ray is not installed")
    flags = ["--engine=ray", "--ray_address=127.0.0.1:1"]
    with pytest.raises(
        ClusterError, match=r"no Ray cluster can be had at 127\.0\.0\.1:1 .*start"
    ):
        engines.chosen(magnet_cli.parsed(oblivious.COMMAND, flags))
