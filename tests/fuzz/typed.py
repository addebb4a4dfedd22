"""Command lines, good and bad: each is done, or ends in one sentence before any work."""

import contextlib
import functools
import importlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import numpy as np
from hypothesis import strategies as st

import magnet_cli
from eval import experiment, judging, measurements
from eval.knowledge import experiment as knowing
from magnet_cli.__main__ import COMMANDS
from magnet_tf import IdentityReformer, MagNet, datasets, hdf5, zoo
from tests.fuzz.cases import Kind, attempt
from train import loop

# Of every kind of flag; what fits one is wrong for another.
VALUES = [
    *(
        "",
        " ",
        ",",
        "0",
        "-1",
        "1",
        "2",
        "2.5",
        "nan",
        "inf",
        "1e39",
        "1e300",
        "x",
        "é",
        "1,,2",
    ),
    *(
        "none",
        "True",
        "9" * 20,
        ".",
        "..",
        "/dev/null",
        "/dev/null/x",
        "/nowhere",
        "0,x",
        "0,10",
    ),
    *(
        "digits",
        "mnist_sample",
        "nowhere",
        "mine.npz",
        "folder",
        "text.keras",
        "mine.keras",
    ),
    *(
        "defended.keras",
        "new.keras",
        "new",
        "x/y/new.keras",
        "D",
        "D,D+JSD",
        "E",
        "zoo",
        "I",
    ),
    *(
        "I=0.01",
        "I=x",
        "cw",
        "ead",
        "cw,ead",
        "fgsm",
        "exact",
        "primal_dual",
        "fista",
        "quick",
    ),
    *(
        "paper",
        "published",
        "short",
        "mse",
        "mae",
        "original",
        "fork",
        "failing",
        "exiting",
    ),
    *(
        "json",
        "3,average,3",
        "3",
        "max,max,max,max,max",
        "100000000",
        "4,4,x",
        "mine_10.npz",
    ),
    *(
        "labels.npy",
        "a\0b",
        "~",
        "%s",
        "{}",
        "--dataset",
        "local",
        "ray",
        "oblivious,gray",
    ),
]
ODD = [
    *(
        "",
        "-",
        "--",
        "x",
        "--x",
        "--x=1",
        "--=",
        "---",
        "--nodataset",
        "--dataset",
        "-dataset=x",
    ),
    *(
        "--flagfile=text.keras",
        "--flagfile=nowhere",
        "--undefok=x",
        "--help=x",
        "--noseed",
    ),
    *(
        "--seed=1=2",
        "--seed 1",
        "D",
        "\ud800",
        "--é=1",
        "--fromenv=x",
        "--tryfromenv=dataset",
    ),
]


class ReachedError(BaseException):
    """The command would begin with its work: its flags are good."""


def reached(*_: Any, **__: Any) -> None:
    """In the place of the work."""
    raise ReachedError


@functools.cache
def files() -> Path:
    """A folder with files of a user's."""
    folder = Path(tempfile.mkdtemp())
    layers = keras.layers
    model = keras.Sequential(
        [layers.Input((28, 28, 1)), layers.AveragePooling2D(14), layers.Flatten()]
        + [layers.Dense(10)]
    )
    model.save(folder / "mine.keras")
    magnet = MagNet(model, IdentityReformer(), {})
    magnet.save(folder / "defended.keras")
    (folder / "text.keras").write_text("--dataset=digits\nno flag\n")
    images = np.linspace(0, 1, 12 * 16, dtype=np.float32).reshape(12, 4, 4, 1)
    labels = np.arange(12) % 2
    np.savez(
        folder / "mine.npz",
        x_train=images,
        y_train=labels,
        x_test=images,
        y_test=labels,
    )
    np.savez(
        folder / "mine_10.npz",
        images=np.zeros((3, 28, 28, 1), "f4"),
        labels=np.arange(3),
    )
    np.save(folder / "labels.npy", np.arange(3))
    (folder / "failing.py").write_text("import nothing_of_this_name")
    (folder / "exiting.py").write_text("raise SystemExit(3)")
    (folder / "folder").mkdir()
    return folder


load_dataset, from_zoo = datasets.load, functools.cache(zoo.load)


@functools.cache
def published(name: str) -> datasets.Dataset | datasets.DatasetError:
    """What comes of a name that is no path; TFDS takes seconds to say that it has none."""
    try:
        return load_dataset(name)
    except datasets.DatasetError as error:
        return error


def remembered(name: Any) -> datasets.Dataset:
    """In the place of `datasets.load`: what is no user's file is loaded once."""
    if Path(str(name)).exists() or Path(str(name)).suffix:
        return load_dataset(name)
    found = published("mnist_sample" if name == "mnist" else name)
    if isinstance(found, datasets.DatasetError):
        raise found
    return found


@contextlib.contextmanager
def without_work(folder: Path) -> Iterator[None]:
    """Where commands check all that they can before their work, and do not begin it."""
    with contextlib.ExitStack() as stack:
        for where, what, instead in (
            (experiment, "Store", reached),
            (knowing, "Store", reached),
            (judging, "Store", reached),
            (measurements, "measurements", reached),
            (
                measurements,
                "predicted",
                lambda model, x: np.eye(10)[np.zeros(len(x), int)],
            ),
            (loop, "fit", reached),
            (datasets, "load", remembered),
            (zoo, "load", from_zoo),
            (magnet_cli.command, "quieten", lambda: None),
            (hdf5, "check", lambda _: None),  # takes a process
        ):
            stack.enter_context(mock.patch.object(where, what, instead))
        stack.enter_context(mock.patch.object(sys, "path", [str(folder), *sys.path]))
        for module in ("art", "foolbox"):
            stack.enter_context(mock.patch.dict(sys.modules, {module: mock.Mock()}))
        try:
            yield
        finally:
            for name in ("failing", "exiting"):
                sys.modules.pop(name, None)


def commanded(value: tuple, folder: Path) -> str:
    """A command with flags good and bad."""
    name, arguments = value
    shutil.copytree(files(), folder, dirs_exist_ok=True)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    command = importlib.import_module(COMMANDS[name]).COMMAND

    def run() -> None:
        with without_work(folder), contextlib.suppress(ReachedError):
            magnet_cli.main(command, arguments)

    try:
        _, outcome = attempt(run, command.name)
    finally:
        for path, content in before.items():
            assert path.read_bytes() == content, f"{path.name} was changed"
    return outcome


@functools.cache
def flags_of(name: str) -> list[str]:
    """The names of a command's own flags."""
    from absl import flags

    values = flags.FlagValues()
    own = set(values)
    importlib.import_module(COMMANDS[name]).COMMAND.define(values)
    return sorted(set(values) - own)


# What each flag is mostly given, so that what is checked last is reached, too.
LIKELY = {
    "dataset": ["digits", "mnist_sample", "mine.npz", "folder", "nowhere"],
    "variants": ["D", "D,D+JSD", "E"],
    "variant": ["D", "E"],
    "classifier": ["mine.keras", "text.keras", "defended.keras"],
    "defence": ["defended.keras", "mine.keras", "nowhere.keras"],
    "models_dir": ["zoo", "folder", "models"],
    "attacks": ["cw", "ead", "cw,ead"],
    "confidences": ["0", "0,10", "-1"],
    "betas": ["0.01", "0.01,0.1", "nan"],
    "search": ["exact", "primal_dual"],
    "momentum": ["fista", "none"],
    "modules": ["json", "failing", "exiting", "nowhere"],
    "seed": ["0", "1", "-1"],
    "epochs": ["1", "0"],
    "output": ["new.keras", "mine.keras", "new.h5", "folder"],
    "structure": ["3", "3,average,3", "100000000"],
    "name": ["I", "II", "X"],
    "noise": ["0.1", "nan", "inf"],
    "alpha": ["0.2", "nan"],
    "count": ["2", "0"],
    "start": ["mine.keras", "text.keras", "nowhere.keras"],
    "examples": ["mine_10.npz", "labels.npy"],
    "labels": ["labels.npy", "mine.npz"],
    "drop_rates": ["I=0.01", "I=x"],
    "output_dir": ["new", "mine.npz"],
}


def lines(name: str) -> st.SearchStrategy:
    """Command lines of a command."""

    def flag(key: str) -> st.SearchStrategy:
        likely = st.sampled_from(LIKELY.get(key, VALUES))
        return st.one_of(likely, likely, likely, st.sampled_from(VALUES)).map(
            lambda value: f"--{key}={value}"
        )

    known = st.sampled_from(flags_of(name)).flatmap(flag)
    some = st.lists(
        st.one_of(known, known, known, known, st.sampled_from(ODD)), max_size=4
    )
    return st.tuples(st.just(name), some)


KINDS = {
    "command": Kind(
        st.sampled_from(sorted(COMMANDS)).flatmap(lines), commanded, share=700, in_ci=20
    )
}
