"""Evaluations and trainings that are killed at random moments, and then finished.

Whenever that was, what stands at a file's own name is whole, and the results of the run that
goes on are those of one that nobody disturbed.
"""

import contextlib
import hashlib
import io
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import zipfile
from pathlib import Path

import h5py
import numpy as np
import PIL.Image

from train import checkpoint

# What is killed, and in which of its stages, one time after the other, before it may finish.
CHAINS = [
    (
        "evaluation",
        ["craft", "craft", "judge", "defences", "reports", "figures", "figures"],
    ),
    ("training", ["checkpoint", "checkpoint", "checkpoint", "model"]),
    ("sweep", ["craft", "craft", "figures", "figures"]),
]


class Worker:
    """The process that runs evaluations and trainings in children of its own.

    Attributes:
        used: seconds of processor time of the last run.
    """

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz.work"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.used = 0.0
        assert self._read() == "ready"

    def _read(self) -> str:
        line = self._process.stdout.readline().strip()
        if not line:
            raise RuntimeError("the process that runs evaluations has ended")
        return line

    def run(
        self, name: str, folder: Path, stop: tuple[str, int, float] | None = None
    ) -> tuple[list[tuple[str, float]], bool]:
        """Runs something in a folder to its end, or kills it.

        Args:
            name: of the run.
            folder: to run it in.
            stop: the stage in which it is killed, the how-manieth of that name, and so many
                seconds after it began.

        Returns:
            The stages and when they began, and whether it was killed.
        """
        self._process.stdin.write(f"{name} {folder}\n")
        self._process.stdin.flush()
        child, begin, stages, killed = int(self._read()), time.monotonic(), [], False
        while not (line := self._read()).startswith("ended"):
            stages.append((line, time.monotonic() - begin))
            seen = [stage for stage, _ in stages].count(line)
            if stop and not killed and (line, seen) == stop[:2]:
                time.sleep(stop[2])
                with contextlib.suppress(ProcessLookupError):  # it has ended
                    os.kill(child, signal.SIGKILL)
                killed = True
        stages.append(("end", time.monotonic() - begin))
        status, self.used = int(line.split()[1]), float(line.split()[2])
        killed = killed and os.WIFSIGNALED(status)
        if status and not killed:
            raise RuntimeError(f"{name}: {(folder / 'log').read_text()[-2000:]}")
        return stages, killed

    def close(self) -> None:
        """Ends it."""
        self._process.stdin.close()
        self._process.wait()


def files_of(folder: Path) -> dict[str, Path]:
    """The files of a run at their own names, by these."""
    found = {str(p.relative_to(folder)): p for p in sorted((folder / "run").rglob("*"))}
    return {
        name: path
        for name, path in found.items()
        if path.is_file() and not path.name.startswith((".", "partial-"))
    }


def content(path: Path) -> object:
    """What a file says, without what every run says otherwise; raises where it is torn."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
        if path.parent.name == "defended":
            arrays.pop("sha256"), arrays.pop("digest")  # of a file that holds its date
        return {key: (a.dtype.str, a.shape, a.tobytes()) for key, a in arrays.items()}
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            weights: dict[str, bytes] = {}
            with h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
                file.visititems(
                    lambda name, item: (
                        weights.update({name: item[()].tobytes()})
                        if isinstance(item, h5py.Dataset)
                        else None
                    )
                )
        return weights
    if path.suffix == ".checkpoint":
        data = path.read_bytes()
        digest = hashlib.sha256(data[checkpoint.DIGEST :]).digest()
        assert data[: checkpoint.DIGEST] == digest, "a torn checkpoint"
        return None
    if path.suffix == ".png":
        with PIL.Image.open(path) as image:
            image.load()
    if path.suffix == ".json":
        document = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(document, dict):  # a card
            document = {
                k: v for k, v in document.items() if k not in ("sha256", "digest")
            }
        return document
    return path.read_bytes()


def check_whole(folder: Path, expected: dict[str, object]) -> None:
    """That every file at its own name is what an undisturbed run writes there."""
    for name, path in files_of(folder).items():
        if path.suffix == ".checkpoint":
            content(path)
        else:
            assert content(path) == expected[name], f"{name} is torn"


def tried(worker: Worker, base: Path, references: dict, number: str) -> list[str]:
    """Kills a run again and again, looks each time, and lets it finish.

    Returns:
        A line for each kill.
    """
    draw = random.Random(f"kill:{number}")
    name, places = CHAINS[int(number.split(".")[1]) % len(CHAINS)]
    expected, stages = references[name]
    said = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        shutil.copytree(base, folder, dirs_exist_ok=True)
        for stage in places:
            begins = [i for i, (of, _) in enumerate(stages) if of == stage]
            lasting = [stages[i + 1][1] - stages[i][1] for i in begins]
            at = draw.randrange(min(len(begins), 20))
            wait = draw.uniform(0, max(lasting[at], 0.005))
            _, killed = worker.run(name, folder, (stage, at + 1, wait))
            if not killed:
                break
            there, partial = files_of(folder), list(folder.rglob("partial-*"))
            check_whole(folder, expected)
            said.append(
                f"{name}, {wait:.3f} s into {stage} {at + 1}: {len(there)} of "
                f"{len(expected)} files were there, {len(partial)} unfinished"
            )
        worker.run(name, folder)
        found = {name: content(path) for name, path in files_of(folder).items()}
        assert found.keys() == expected.keys(), found.keys() ^ expected.keys()
        for key, value in found.items():
            assert value == expected[key], f"{key} is another"
        assert not list(folder.rglob("partial-*")), "something is left behind"
    return said


def main(count: int, seed: int | str, only: str | None = None) -> int:
    """So many kills; the exit status.

    Args:
        count: of kills.
        seed: of their moments.
        only: the number of a single chain of them instead.
    """
    worker, failed, done = Worker(), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        base, references = Path(folder) / "base", {}
        base.mkdir()
        worker.run("models", base)
        (base / "log").unlink()
        for name, _ in CHAINS:
            where = Path(folder) / name
            shutil.copytree(base, where)
            stages, _ = worker.run(name, where)
            found = {key: content(path) for key, path in files_of(where).items()}
            references[name] = found, stages
            print(
                f"{name}: {len(found)} files, {stages[-1][1]:.1f} s undisturbed, "
                f"{worker.used:.1f} s of processor time",
                flush=True,
            )
        numbers = [only] if only else (f"{seed}.{i}" for i in itertools.count())
        for number in numbers:
            try:
                for line in (said := tried(worker, base, references, number)):
                    print(f"{number}: {line}")
                print(f"{number}: the same in the end", flush=True)
                done += len(said)
            except Exception:  # noqa: BLE001 (what a torn file raises)
                failed += 1
                traceback.print_exc(limit=-3)
                print(f"python -m tests.fuzz --case=kill:{number}", flush=True)
            if done >= count or failed > 3:
                break
    worker.close()
    print(f"{done} kills, {failed} failed")
    return int(failed > 0)
