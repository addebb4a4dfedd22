"""A disk that fills: one sentence, and what was there is as it was."""

import os

import keras
import numpy as np
import pytest

from eval import figures
from eval.store import Store
from magnet_tf import IdentityReformer, MagNet, cards, files
from tests.eval import made_up

SIZE = 16_384  # of the disk


def model(units: int = 2) -> keras.Model:
    return keras.Sequential([keras.layers.Input((4, 4, 1)), keras.layers.Flatten(),
                             keras.layers.Dense(units)])  # fmt: skip


def store_file(folder) -> None:
    with Store(folder, {"seed": 0}) as store:
        noise = np.frombuffer(os.urandom(SIZE), np.uint8)
        store.save("attacks/one", {}, {"noise": noise})


def figure(folder) -> None:
    figures.write(folder, made_up.results())


def trained(folder) -> None:
    cards.save(folder / "it.keras", model(), {"dataset": "digits"})


def defence(folder) -> None:
    MagNet(model(), IdentityReformer(), {}).save(folder / "defended.keras")


def export(folder) -> None:
    MagNet(model(), IdentityReformer(), {}).export(folder / "exported")


def text(folder) -> None:
    files.write_text(folder / "report.md", "x" * SIZE)


@pytest.mark.parametrize("write", [store_file, figure, trained, defence, export, text])
def test_what_is_written_is_whole_or_not_there(write, small_disk):
    (small_disk / "notes").write_bytes(os.urandom(4_000))
    before = (small_disk / "notes").read_bytes()
    with pytest.raises(files.WriteError, match="could not be written .*make room") as e:
        write(small_disk)
    assert str(small_disk) in str(e.value) and "\n" not in str(e.value)
    assert (small_disk / "notes").read_bytes() == before
    left = {path.name for path in small_disk.rglob("*") if path.is_file()}
    assert left <= {"notes", ".lock", "settings.json", "it.json"}, left


@pytest.mark.parametrize("write", [defence, trained, text])
def test_what_was_there_stays(write, small_disk, tmp_path):
    """Where the new one does not fit beside it."""
    big = tmp_path / "big"
    big.mkdir()
    write(big)
    (made,) = [p for p in big.iterdir() if p.suffix != ".json"]
    old = small_disk / made.name
    old.write_bytes(b"as it was")
    with pytest.raises(files.WriteError):
        write(small_disk)
    assert old.read_bytes() == b"as it was"
