"""Two hundred workers that sleep, in real time: `python -m tests.eval.sleeping`."""

import concurrent.futures
import time
import tracemalloc

import numpy as np

from eval.engines import Item, schedule

WORKERS, ITEMS, MEGABYTE = 200, 3000, 2**20


class Threads:
    """A cluster of threads, as the schedule sees it."""

    def __init__(self, workers: int):
        self._workers = workers
        self._pool = concurrent.futures.ThreadPoolExecutor(workers)

    def slots(self) -> int:
        return self._workers

    def nodes(self) -> int:
        return 1

    def submit(self, function, args):
        return self._pool.submit(function, *args)

    def ready(self, handles, seconds):
        first = concurrent.futures.FIRST_COMPLETED
        return list(concurrent.futures.wait(handles, seconds, first).done)

    def result(self, handle):
        return handle.result()

    def cancel(self, handles) -> None:
        for handle in handles:
            handle.cancel()


def sleep(seconds: float) -> np.ndarray:
    """An item with a result of a megabyte."""
    time.sleep(seconds)
    return np.zeros(MEGABYTE, np.uint8)


def main() -> None:
    durations = np.random.default_rng(0).uniform(0.5, 2.5, ITEMS)
    items = [Item(f"part {k}", sleep, (of,)) for k, of in enumerate(durations)]
    tracemalloc.start()
    begin = time.perf_counter()
    done = sum(1 for _ in schedule.run(Threads(WORKERS), items, "part"))
    took = time.perf_counter() - begin
    peak = tracemalloc.get_traced_memory()[1] / MEGABYTE
    print(
        f"{done} items of {durations.mean():.2f} s on {WORKERS} workers: {took:.1f} s, "
        f"efficiency {durations.sum() / WORKERS / took:.3f}; at most {peak:.0f} MB of "
        f"{ITEMS} MB held"
    )


if __name__ == "__main__":
    main()
