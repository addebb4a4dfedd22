"""What Ray costs beside the local engine: `python -m tests.eval.overhead WORKERS`.

With TF_NUM_INTRAOP_THREADS=1, as an item of one processor has it, and RAY_worker_niceness=0.
"""

import functools
import sys
import tempfile
import time
from pathlib import Path

import magnet_cli
from eval import engines, experiment, oblivious, work
from eval.engines import Item
from eval.evaluation import Evaluation
from eval.store import Store

FLAGS = [
    *("--dataset=digits", "--models_dir=zoo", "--variants=D", "--attacks=cw"),
    *("--num_examples=32", "--confidences=0", "--engine=ray"),
]
PAIRS = 4


def timed(function, *args):
    """What a call returns, its seconds by the clock, and those of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    result = function(*args)
    return result, time.perf_counter() - clock, time.process_time() - processor


class Timed:
    """An engine, and the seconds inside its items."""

    def __init__(self, engine):
        self.here, self.share = engine.here, engine.share
        self._engine, self.clock, self.processor = engine, 0.0, 0.0

    def run(self, items, unit):
        timing = [Item(name, timed, (of, *args)) for name, of, args in items]
        for place, (result, clock, processor) in self._engine.run(timing, unit):
            self.clock += clock
            self.processor += processor
            yield place, result


def measured(name: str, engine, subject, plan) -> None:
    """Prints the seconds of crafting and verdicts in an empty store."""
    timing = Timed(engine)
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder), {}) as store:
        evaluation = Evaluation(subject, plan, store, engine=timing)
        begin = time.perf_counter()
        evaluation.judge(evaluation.craft())
        took = time.perf_counter() - begin
    print(
        f"{name}: {took:.2f} s, inside items {timing.clock:.2f} s, of the processor "
        f"{timing.processor:.2f} s",
        flush=True,
    )


def main(workers: int) -> None:
    import ray

    work.CHUNK = 8
    ray.init = functools.partial(ray.init, num_cpus=workers)
    flags = magnet_cli.parsed(oblivious.COMMAND, FLAGS)
    asked, local = experiment.prepare(flags), engines.Local()
    with engines.chosen(flags) as engine:
        begin = time.perf_counter()
        list(engine.run([Item("first", int, ())] * workers, "x"))
        print(f"a worker's first item: {time.perf_counter() - begin:.1f} s")
        subject = asked.subject(local)
        for _ in range(PAIRS):
            measured("local", local, subject, asked.plan)
            measured(f"Ray, {workers} workers", engine, subject, asked.plan)


if __name__ == "__main__":
    main(int(sys.argv[1]))
