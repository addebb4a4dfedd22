"""What the benchmark measures: this project, Foolbox and ART on the same model and images.

All in turn, beside the floor: the bare gradients and forward passes that the iterations need.
"""

import dataclasses
import functools
import multiprocessing
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import cast

import numpy as np

import attacks
from eval.contenders import (
    Settings,
    art,
    distances,
    floor,
    foolbox,
    median_ratio,
    nearest,
    ours,
)
from magnet_tf import datasets, zoo
from magnet_tf.arrays import predicted

CHUNK = 64
RULES = {"cw": ("L2",), "ead": ("EN", "L1")}
CONTENDERS = {  # of whole attacks; C&W's primal-dual search is that of the least norm
    "cw": ("primal_dual", "foolbox", "exact"),
    "ead": ("primal_dual", "minimum_norm", "foolbox", "exact"),
}
NORMS = ("L2", "L1")  # of sweeps


@dataclasses.dataclass(frozen=True)
class Size:
    """How large a benchmark is.

    Attributes:
        dataset: with a classifier in the zoo.
        num_examples: images for the comparison of examples.
        confidences: of that comparison, like what follows.
        beta: EAD's weight of the L1 norm.
        max_iterations: of a search step.
        repeats: of each timing.
    """

    dataset: str
    num_examples: int
    confidences: Sequence[float]
    beta: float
    max_iterations: int
    repeats: int


class Bench:
    """The model and the images, and the measurements on them.

    Args:
        size: how many, and how often.

    Raises:
        DatasetError, ZooError: the dataset cannot be had, or has no classifier.
    """

    def __init__(self, size: Size):
        self.size = size
        self.classifier = zoo.load(size.dataset, "D").classifier
        test = datasets.load(size.dataset).test
        right = predicted(self.classifier, test.images).argmax(axis=1) == test.labels
        chosen = np.random.default_rng(0).permutation(np.flatnonzero(right))
        self.x, self.labels = test.images[chosen], test.labels[chosen].astype(np.int64)

    def images(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """So many images and labels, the first ones again where there are no more."""
        index = np.arange(count) % len(self.x)
        return self.x[index], self.labels[index]

    def timed(self, craft: Callable, count: int) -> tuple[float, dict]:
        """Seconds, and what was crafted for so many images."""
        x, labels = self.images(count)
        begin = time.perf_counter()
        found = craft(x, labels)
        return time.perf_counter() - begin, found

    def iteration(self, attack: str) -> dict:
        """Milliseconds an image and iteration, c fixed, all measured in turn."""

        def settings(iterations: int) -> Settings:
            return Settings(
                attack,
                RULES[attack][-1],
                beta=self.size.beta,
                initial_const=10.0,
                max_iterations=iterations,
                binary_search_steps=1,
                abort_early=False,
            )

        few, many = settings(3), settings(30)
        contenders = {
            "floor": (floor(self.classifier, many), many.max_iterations),
            "ours": (ours(self.classifier, many, "exact"), many.max_iterations),
            "foolbox": (foolbox(self.classifier, many), many.max_iterations),
            "art": (art(self.classifier, few), few.max_iterations),
        }
        compile_seconds = self.timed(contenders["ours"][0], CHUNK)[0]
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for number in range(
            self.size.repeats + 1
        ):  # the first time, things are compiled
            for name, (craft, iterations) in contenders.items():
                if name == "art" and number > 2:
                    continue
                seconds, _ = self.timed(craft, CHUNK)
                if number:
                    times[name].append(1e3 * seconds / CHUNK / iterations)
        slow = len(times["art"])
        return {
            "ms": {name: float(np.median(t)) for name, t in times.items()},
            "ours_over_floor": median_ratio(times["ours"], times["floor"]),
            "foolbox_over_ours": median_ratio(times["foolbox"], times["ours"]),
            "art_over_ours": median_ratio(times["art"], times["ours"][:slow]),
            "compile_seconds": compile_seconds,
        }

    def batch_size(self, attack: str) -> dict:
        """Milliseconds an image and iteration over the number of images in a chunk.

        An attack fills a chunk below 16 up to 16, because smaller ones get other bits from
        TensorFlow's kernels; the time is divided by the images that were asked for. The
        floor is not filled up.
        """
        craft = {"cw": attacks.carlini_wagner_l2, "ead": attacks.elastic_net}[attack]
        rows = []
        for size in [4**power for power in range(6)]:
            iterations = max(5, min(50, 2000 // size))
            settings = Settings(
                attack, RULES[attack][0], initial_const=10.0, max_iterations=iterations
            )

            def in_one_chunk(x, labels, iterations=iterations, size=size):
                craft(
                    self.classifier,
                    x,
                    labels,
                    initial_const=10.0,
                    max_iterations=iterations,
                    binary_search_steps=1,
                    batch_size=size,
                )

            bare = floor(self.classifier, settings)
            times: dict[str, list[float]] = {"ours": [], "floor": []}
            for number in range(self.size.repeats + 1):
                for name, run in (("ours", in_one_chunk), ("floor", bare)):
                    seconds, _ = self.timed(run, size)
                    if number:
                        times[name].append(1e3 * seconds / size / iterations)
            rows.append(
                {
                    "batch_size": size,
                    "ours_over_floor": median_ratio(times["ours"], times["floor"]),
                    **{f"{name}_ms": float(np.median(t)) for name, t in times.items()},
                }
            )
        return {"rows": rows}

    def quality(self, attack: str, confidence: float, contender: str) -> dict:
        """Seconds, success and distances of a whole attack.

        Foolbox finds examples by one rule a run; of EAD's it is asked for EN.
        """
        x, labels = self.images(self.size.num_examples)
        settings = Settings(
            attack,
            RULES[attack][0],
            confidence=confidence,
            beta=self.size.beta,
            max_iterations=self.size.max_iterations,
        )
        if contender == "foolbox":
            craft = foolbox(self.classifier, settings)
        elif contender == "minimum_norm":
            craft = nearest(self.classifier, settings)
        else:
            craft = ours(self.classifier, settings, contender)
        repeats = 1  # of those that take minutes, of which compiling is none
        if contender in ("primal_dual", "minimum_norm"):
            craft(x, labels)
            repeats = self.size.repeats
        seconds = []
        for _ in range(repeats):
            took, found = self.timed(craft, self.size.num_examples)
            seconds.append(took)
        return {
            "seconds": float(np.median(seconds)),
            "seconds_each": seconds,
            **{
                rule: distances(self.classifier, settings, x, labels, examples)
                for rule, examples in found.items()
            },
        }

    def sweep(self, norm: str) -> dict:
        """`minimum_norm` for several confidences in one call against one call for each."""
        x, labels = self.images(self.size.num_examples)

        def craft(
            confidences: Sequence[float],
        ) -> tuple[list[attacks.AttackResult], float]:
            begin = time.perf_counter()
            found = attacks.minimum_norm(
                self.classifier, x, labels, norm=norm, confidence=confidences
            )
            return cast(list, found), time.perf_counter() - begin

        def mean(result: attacks.AttackResult) -> float:
            distances = {"L1": result.l1, "L2": result.l2}[norm]
            return float(distances[result.success].mean())

        craft([10.0]), craft([0.0, 10.0])  # compiles
        rows = []
        for values in ([0, 20, 40], [0, 10, 20, 30, 40], list(range(0, 41, 5))):
            together, took = craft(values)
            apart = [craft([value]) for value in values]
            seconds_apart = sum(seconds for _, seconds in apart)
            pairs = [(one, other) for one, ([other], _) in zip(together, apart)]
            rows.append(
                {
                    "confidences": values,
                    "seconds": took,
                    "seconds_apart": seconds_apart,
                    "time_ratio": took / seconds_apart,
                    "success": [
                        [float(of.success.mean()) for of in pair] for pair in pairs
                    ],
                    "distance_ratio": [mean(one) / mean(other) for one, other in pairs],
                }
            )
        return {"rows": rows}

    def memory(self) -> dict:
        """Peak memory in GB, each in a process of its own: 1,000 images and variations."""
        cases = {
            "64 images, 1 step of 10": (64, 1, 10),
            "1,000 images, 1 step of 10": (1000, 1, 10),
            "1,000 images, 1 step of 100": (1000, 1, 100),
            "1,000 images, 4 steps of 10": (1000, 4, 10),
        }
        spawn = multiprocessing.get_context("spawn")
        peaks = {}
        for case, arguments in cases.items():
            with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as one:
                peaks[case] = one.submit(
                    peak_memory, self.size.dataset, *arguments
                ).result()
        return peaks


PROCESS = Path("/proc/self/status")  # of Linux


def peak_memory(dataset: str, count: int, steps: int, iterations: int) -> float:
    """The peak memory of this process after it has run EAD, in GB.

    Not `getrusage`'s, which is never below that of the process that started this one.
    """
    bench = Bench(Size(dataset, count, (), 1e-2, iterations, 1))
    x, labels = bench.images(count)
    attacks.elastic_net(
        bench.classifier,
        x,
        labels,
        initial_const=10.0,
        max_iterations=iterations,
        binary_search_steps=steps,
    )
    (peak,) = re.findall(r"^VmHWM:\s*(\d+) kB", PROCESS.read_text(), re.MULTILINE)
    return int(peak) / 2**20


def measurements(bench: Bench) -> dict[str, Callable[[], dict]]:
    """Everything that is measured, by name, the quickest first."""
    jobs = {"memory": bench.memory} if PROCESS.exists() else {}
    for attack in RULES:
        jobs[f"iteration {attack}"] = functools.partial(bench.iteration, attack)
        jobs[f"batch size {attack}"] = functools.partial(bench.batch_size, attack)
    for norm in NORMS:
        jobs[f"sweep {norm}"] = functools.partial(bench.sweep, norm)
    for confidence in bench.size.confidences:
        for attack in reversed(RULES):
            for contender in CONTENDERS[attack]:
                jobs[f"quality {attack} {confidence:g} {contender}"] = (
                    functools.partial(bench.quality, attack, confidence, contender)
                )
    return jobs
