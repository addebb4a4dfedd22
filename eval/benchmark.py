"""How fast the attacks are: `python -m eval.benchmark`, with the extra `bench` installed.

This project, Foolbox and ART on the same model, images and settings, in turn, beside the
floor: the bare gradients and forward passes that the iterations need. What is measured is
kept in `benchmark.json`; the same command measures only what is missing.
"""

import functools
import json
import multiprocessing
import platform
import re
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import matplotlib
import numpy as np
from absl import app, flags, logging
from matplotlib.figure import Figure
from tqdm.auto import tqdm

from eval.contenders import (
    Settings,
    art,
    distances,
    floor,
    foolbox,
    median_ratio,
    ours,
)
from eval.figures import LINES, STYLE
from magnet_tf.files import write, write_text

CHUNK = 64
RULES = {"cw": ("L2",), "ead": ("EN", "L1")}


class Bench:
    """The model and the images, and the measurements on them.

    Args:
        dataset: with a classifier in the zoo. num_examples: images for the comparison of
            examples. confidences, beta: of that comparison. max_iterations: of its searches.
        repeats: of each timing.
    """

    def __init__(
        self,
        dataset: str,
        num_examples: int,
        confidences: list[float],
        beta: float,
        max_iterations: int,
        repeats: int,
    ):
        from magnet_tf import datasets, zoo
        from magnet_tf.arrays import predicted

        self.dataset, self.num_examples, self.repeats = dataset, num_examples, repeats
        self.confidences, self.beta = confidences, beta
        self.max_iterations = max_iterations
        self.classifier = zoo.load(dataset, "D").classifier
        test = datasets.load(dataset).test
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
                beta=self.beta,
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
        times = {name: [] for name in contenders}
        for number in range(self.repeats + 1):  # the first time, things are compiled
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
        """Milliseconds an image and iteration over the number of images in a chunk."""
        import attacks

        craft = {"cw": attacks.carlini_wagner_l2, "ead": attacks.elastic_net}[attack]
        rows = []
        for size in 4 ** np.arange(6):
            iterations = int(max(5, min(50, 2000 // size)))
            settings = Settings(
                attack, RULES[attack][0], initial_const=10.0, max_iterations=iterations
            )

            def in_one_chunk(x, labels, iterations=iterations, size=int(size)):
                craft(
                    self.classifier,
                    x,
                    labels,
                    initial_const=10.0,
                    max_iterations=iterations,
                    binary_search_steps=1,
                    batch_size=size,
                )

            bare, times = floor(self.classifier, settings), {"ours": [], "floor": []}
            for number in range(self.repeats + 1):
                for name, run in (("ours", in_one_chunk), ("floor", bare)):
                    seconds, _ = self.timed(run, int(size))
                    if number:
                        times[name].append(1e3 * seconds / size / iterations)
            rows.append(
                {
                    "batch_size": int(size),
                    "ours_over_floor": median_ratio(times["ours"], times["floor"]),
                    **{f"{name}_ms": float(np.median(t)) for name, t in times.items()},
                }
            )
        return {"rows": rows}

    def quality(self, attack: str, confidence: float, contender: str) -> dict:
        """Seconds, success and distances of a whole attack.

        Foolbox finds examples by one rule a run; of EAD's it is asked for EN.
        """
        x, labels = self.images(self.num_examples)
        settings = Settings(
            attack,
            RULES[attack][0],
            confidence=confidence,
            beta=self.beta,
            max_iterations=self.max_iterations,
        )
        if contender == "foolbox":
            craft = foolbox(self.classifier, settings)
        else:
            craft = ours(self.classifier, settings, contender)
        repeats = 1
        if (
            contender == "primal_dual"
        ):  # the others take minutes, of which compiling is none
            craft(x, labels)
            repeats = self.repeats
        seconds = []
        for _ in range(repeats):
            took, found = self.timed(craft, self.num_examples)
            seconds.append(took)
        return {
            "seconds": float(np.median(seconds)),
            "seconds_each": seconds,
            **{
                rule: distances(self.classifier, settings, x, labels, examples)
                for rule, examples in found.items()
            },
        }

    def sweep(self, attack: str) -> dict:
        """One call for several confidences against one call for each."""
        import attacks

        def craft(confidence):
            shared = {"confidence": confidence, "search": "primal_dual"}
            x, labels = self.images(self.num_examples)
            if attack == "cw":
                found = attacks.carlini_wagner_l2(self.classifier, x, labels, **shared)
                each = found if isinstance(found, list) else [found]
                return [{"L2": result} for result in each]
            found = attacks.elastic_net(
                self.classifier, x, labels, beta=self.beta, **shared
            )
            return found if isinstance(found, list) else [found]

        def score(rule, result):
            mean = {"L1": result.l1, "L2": result.l2}.get(
                rule, result.l2**2 + self.beta * result.l1
            )
            return float(mean[result.success].mean())

        def seconds(confidences):
            begin = time.perf_counter()
            return craft(confidences), time.perf_counter() - begin

        craft(10.0), craft([0.0, 10.0])  # compiles
        rows = []
        for values in ([0, 20, 40], [0, 10, 20, 30, 40], list(range(0, 41, 5))):
            together, took = seconds(values)
            apart, times = zip(*(seconds(value) for value in values))
            rows.append(
                {
                    "confidences": values,
                    "seconds": took,
                    "seconds_apart": sum(times),
                    "time_ratio": took / sum(times),
                    "success": [
                        {r: [float(f[r].success.mean()) for f in (one, other[0])]}
                        for one, other in zip(together, apart)
                        for r in one
                    ],
                    "distance_ratio": {
                        rule: [
                            score(rule, one[rule]) / score(rule, other[0][rule])
                            for one, other in zip(together, apart)
                        ]
                        for rule in together[0]
                    },
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
                peaks[case] = one.submit(peak_memory, self.dataset, *arguments).result()
        return peaks


PROCESS = Path("/proc/self/status")  # of Linux


def peak_memory(dataset: str, count: int, steps: int, iterations: int) -> float:
    """The peak memory of this process after it has run EAD, in GB.

    Not `getrusage`'s, which is never below that of the process that started this one.
    """
    import attacks

    bench = Bench(dataset, count, [], 1e-2, iterations, 1)
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
        jobs[f"sweep {attack}"] = functools.partial(bench.sweep, attack)
    for confidence in bench.confidences:
        for attack in reversed(RULES):
            for contender in ("primal_dual", "foolbox", "exact"):
                jobs[f"quality {attack} {confidence:g} {contender}"] = (
                    functools.partial(bench.quality, attack, confidence, contender)
                )
    return jobs


def table(results: dict) -> str:
    """The results as Markdown."""
    lines = [
        "| ms an image and iteration | floor | this project | Foolbox | ART |",
        "|---|---|---|---|---|",
    ]
    for attack, title in (("cw", "C&W"), ("ead", "EAD")):
        if row := results.get(f"iteration {attack}"):
            ms = row["ms"]
            lines.append(
                f"| {title}, {CHUNK} images | {ms['floor']:.3f} | {ms['ours']:.3f} "
                f"({row['ours_over_floor']:.2f} x floor) | {ms['foolbox']:.3f} "
                f"({row['foolbox_over_ours']:.1f} x ours) | {ms['art']:.2f} "
                f"({row['art_over_ours']:.0f} x ours) |"
            )
    lines += [
        "",
        "| whole attack | seconds | success | mean L2 | mean EN | mean L1 |",
        "|---|---|---|---|---|---|",
    ]
    for key, row in results.items():
        if not key.startswith("quality"):
            continue
        _, attack, confidence, contender = key.split()
        of = {rule: row[rule] for rule in RULES[attack] if rule in row}
        success = ", ".join(f"{v['success']:.0%}" for v in of.values())
        cells = [
            f"{of[rule][rule.lower()]:.3f}" if rule in of else ""
            for rule in ("L2", "EN", "L1")
        ]
        lines.append(
            f"| {attack} κ={confidence}, {contender} | {row['seconds']:.1f} | "
            f"{success} | {' | '.join(cells)} |"
        )
    lines += ["", "| sweep | time, of separate calls | largest distance ratio |"]
    lines += ["|---|---|---|"]
    for attack in RULES:
        for row in results.get(f"sweep {attack}", {}).get("rows", ()):
            ratios = [r for values in row["distance_ratio"].values() for r in values]
            lines.append(
                f"| {attack}, {len(row['confidences'])} confidences | "
                f"{row['time_ratio']:.2f} | {max(ratios):.3f} |"
            )
    if memory := results.get("memory"):
        lines += ["", "| EAD, peak memory | GB |", "|---|---|"]
        lines += [f"| {case} | {peak:.2f} |" for case, peak in memory.items()]
    return "\n".join(lines)


def figure(results: dict) -> Figure:
    """Cost over batch size and over the number of confidences."""
    with matplotlib.rc_context(STYLE):
        drawn = Figure(figsize=(7, 2.8))
        left, right = drawn.subplots(1, 2)
        for (attack, title), line in zip((("cw", "C&W"), ("ead", "EAD")), LINES):
            rows = results.get(f"batch size {attack}", {}).get("rows", ())
            sizes = [row["batch_size"] for row in rows]
            left.plot(sizes, [row["ours_ms"] for row in rows], **line, label=title)
            left.plot(
                sizes,
                [row["floor_ms"] for row in rows],
                **{**line, "linestyle": ":", "marker": ""},
                label=f"{title}, floor",
            )
            rows = results.get(f"sweep {attack}", {}).get("rows", ())
            count = [len(row["confidences"]) for row in rows]
            right.plot(count, [row["seconds"] for row in rows], **line, label=title)
            right.plot(
                count,
                [row["seconds_apart"] for row in rows],
                **{**line, "linestyle": ":", "marker": ""},
                label=f"{title}, one by one",
            )
        left.set(
            xscale="log",
            yscale="log",
            xlabel="images in a chunk",
            ylabel="ms an image and iteration",
        )
        right.set(xlabel="confidences in a call", ylabel="seconds, primal-dual search")
        right.set_ylim(0, 1.6 * right.get_ylim()[1])  # the legend's room
        left.legend(), right.legend()
        return drawn


def main(_) -> None:
    """Measures what the flags name."""
    args = flags.FLAGS
    logging.set_verbosity(logging.ERROR)
    try:
        import art as _art  # noqa: F401
        import foolbox as _foolbox  # noqa: F401
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"eval.benchmark: {error}; install the extra: pip install -e '.[bench]'."
        ) from error
    directory = Path(args.output_dir)
    directory.mkdir(parents=True, exist_ok=True)
    bench = Bench(
        args.dataset,
        args.num_examples,
        [float(c) for c in args.confidences],
        args.beta,
        args.max_iterations,
        args.repeats,
    )
    path = directory / "benchmark.json"
    settings = {
        **{name: getattr(bench, name) for name in ("dataset", "num_examples", "beta")},
        "max_iterations": args.max_iterations,
        "repeats": args.repeats,
    }
    stored = json.loads(path.read_text()) if path.exists() else {}
    if stored and stored["settings"] != settings:
        raise SystemExit(
            f"eval.benchmark: {path} was measured with other settings; choose another "
            "--output_dir."
        )
    results = stored.get("results", {})
    for name, measure in (bar := tqdm(measurements(bench).items())):
        bar.set_description(name)
        if name not in results:
            results[name] = measure()
            machine = f"{platform.machine()}, {multiprocessing.cpu_count()} cores"
            stored = {"settings": settings, "machine": machine, "results": results}
            write_text(path, json.dumps(stored, indent=1))
    write_text(directory / "benchmark.md", table(results) + "\n")
    write(directory / "benchmark.png", figure(results).savefig)
    print(table(results))
    print(f"\n{directory} has benchmark.json, benchmark.md and benchmark.png.")


if __name__ == "__main__":
    flags.DEFINE_string("dataset", "mnist", "A dataset with a classifier in the zoo.")
    flags.DEFINE_integer("num_examples", 50, "Images of a whole attack.", lower_bound=1)
    flags.DEFINE_list("confidences", "0,20", "Kappas of the whole attacks.")
    flags.DEFINE_float("beta", 1e-2, "EAD's weight of the L1 norm.", lower_bound=0)
    flags.DEFINE_integer("max_iterations", 1000, "Of a search step.", lower_bound=1)
    flags.DEFINE_integer("repeats", 5, "Of each timing.", lower_bound=1)
    flags.DEFINE_string("output_dir", "runs/benchmark", "Results.")
    app.run(main)
