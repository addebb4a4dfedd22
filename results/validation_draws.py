"""How far D's thresholds and what gets past it depend on which images validate (PARITY.md).

    python results/validation_draws.py runs/mnist-exact

The folder is a finished evaluation of MNIST's D with EAD at kappa 20 and beta 0.01, or with C&W
at kappa 10, or with both.
"""

import json
import sys
from pathlib import Path

import numpy as np

from eval.grid import Case, Run
from magnet_tf import datasets, variants, zoo
from magnet_tf.magnet import drop_threshold

RUNS = {Run("ead", 20.0, 0.01): ("EN", "L1"), Run("cw", 10.0): ("L2",)}
SIZE = datasets.VALIDATION
D = variants.VARIANTS["mnist"]["D"]


def main(directory: Path) -> None:
    mnist, magnet = datasets.load("mnist"), zoo.load("mnist", "D")
    parts = (mnist.validation, mnist.train, mnist.test)
    images, labels = (np.concatenate(of) for of in zip(*parts, strict=True))
    marks, right = judged(magnet, images, labels)
    attacked = attacks_of(directory, mnist, magnet)

    def row(title: str, places: np.ndarray, tested: np.ndarray) -> dict:
        thresholds = {
            name: float(drop_threshold(of[places], D.drop_rates[name], name))
            for name, of in marks.items()
        }
        found = {"validation": title, **thresholds}
        found["clean"] = accuracy(marks, right, thresholds, tested)
        for case, (its_marks, wrong) in attacked.items():
            found[case] = accuracy(its_marks, wrong, thresholds, slice(None))
        return found

    own, seen = np.arange(SIZE), np.arange(SIZE, 60_000)
    unseen = np.concatenate([own, np.arange(60_000, 70_000)])
    test = np.arange(60_000, 70_000)
    published = datasets.published_order("train", 60_000)[:SIZE]
    rng = np.random.default_rng(0)
    draws = [rng.permutation(unseen) for _ in range(10)]
    table = [
        row("TFDS's first 5,000", own, test),
        row("the published first 5,000", published, test),
        *(row(f"unseen, draw {k}", of[:SIZE], of[SIZE:]) for k, of in enumerate(draws)),
        *(
            row(f"seen, part {k}", of, test)
            for k, of in enumerate(np.split(rng.permutation(seen), 11))
        ),
        row("all unseen", unseen, test),
        row("all seen", seen, test),
    ]
    for line in table:
        print(json.dumps(line))
    for kind in ("unseen,", "seen,"):
        of = [line for line in table if line["validation"].startswith(kind)]
        for key in ("I", "II", "clean", *attacked):
            values = [line[key] for line in of]
            print(kind, key, min(values), max(values), "SD", np.std(values, ddof=1))


def judged(magnet, images, labels):
    """Marks {detector: [N]}, and whether the healed images are classified rightly, [N]."""
    verdict = magnet.judge(images)
    return verdict.marks, verdict.logits.argmax(axis=1) == labels


def attacks_of(directory: Path, mnist, magnet):
    """{case: (marks, whether healing leaves it wrong)} of the evaluation's examples."""
    order = np.load(directory / "examples.npz")["order"]
    found = {}
    for run, rules in RUNS.items():
        if not (files := sorted((directory / "attacks").glob(f"{run.name}-???.npz"))):
            continue
        for rule in rules:
            parts = [np.load(of)[f"{rule}/adversarial"] for of in files]
            examples, name = np.concatenate(parts), Case(run, rule).name
            labels = mnist.test.labels[order[: len(examples)]]
            marks, right = judged(magnet, examples, labels)
            found[name] = marks, ~right
            print(name, len(examples), "examples")
    return found


def accuracy(marks, right, thresholds, tested) -> float:
    """In percent, of those that pass and are `right`."""
    passed = np.all([marks[name] < value for name, value in thresholds.items()], axis=0)
    return 100 * float(np.mean((passed & right)[tested]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
