"""Where work is done: the schedule on a simulated cluster, and Ray where it is installed."""

import heapq
import json
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest

import magnet_cli
from eval import engines, experiment, oblivious
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
        ClusterError, match=r"part 2 \(item 3 of 9\).*gone.*run the same"
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
    with pytest.raises(EngineError, match=r"needs Ray; pip install '.\[ray\]'"):
        engines.chosen("ray", None, None, 0.0)


# With Ray: nodes are processes of this machine

NODES = """
import sys, threading, time
from pathlib import Path
import ray
from ray.cluster_utils import Cluster

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
others = [cluster.add_node(num_cpus=1) for _ in range(2)]
directory = Path(sys.argv[1])

def kill():
    while len(list(directory.glob("attacks/*.npz"))) < 1:
        time.sleep(0.05)
    cluster.remove_node(others[0], allow_graceful=False)
    print("killed a node at", len(list(directory.glob("attacks/*.npz"))), flush=True)

threading.Thread(target=kill, daemon=True).start()
from eval import oblivious
import magnet_cli
sys.argv = ["eval.oblivious", *sys.argv[2:], f"--output_dir={directory}",
            "--engine=ray", f"--ray_address={cluster.address}"]
try:
    magnet_cli.main(oblivious.COMMAND)
finally:
    ray.shutdown()
    cluster.shutdown()
"""
SMALL = ["--num_examples=80", "--confidences=0", "--betas=0.01", "--variants=D"]


@pytest.fixture
def ray_is_there():
    pytest.importorskip("ray", reason="Ray is not installed")


def test_a_node_is_killed_midway_and_the_results_are_the_local_ones(
    ray_is_there, tmp_path
):
    local = [sys.executable, "-m", "eval.oblivious", *SMALL]
    subprocess.run([*local, f"--output_dir={tmp_path}/one"], check=True)
    script = tmp_path / "nodes.py"
    script.write_text(NODES)
    command = [sys.executable, str(script), str(tmp_path / "three"), *SMALL]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert "killed a node" in done.stdout, done.stderr[-3000:]
    rows = [
        json.loads((tmp_path / name / "results.json").read_text())
        for name in ("one", "three")
    ]
    assert rows[0] == rows[1]


def test_an_address_without_a_cluster_is_one_sentence(ray_is_there):
    command = [sys.executable, "-m", "eval.oblivious", *SMALL]
    flags = ["--engine=ray", "--ray_address=127.0.0.1:1"]
    done = subprocess.run(
        [*command, *flags], check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "there is no Ray cluster at 127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
