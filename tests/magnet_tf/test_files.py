"""Files that are whole, in UTF-8, and locked against other processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import magnet_tf
from magnet_tf import files

PACKAGE = Path(magnet_tf.__file__).parent

# Takes the lock, says so, and holds it until its standard input ends.
HOLDER = f"""
import pathlib, sys, types
package = types.ModuleType("magnet_tf")  # without what the package imports
package.__path__ = [{str(PACKAGE)!r}]
sys.modules["magnet_tf"] = package
from magnet_tf import files
with files.locked(pathlib.Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def lock(tmp_path) -> Path:
    return tmp_path / "für zwei.lock"


@pytest.fixture
def holder(lock):
    """Another process that holds the lock."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(lock)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline().strip() == b"held"
    yield process
    process.kill()
    process.communicate()


def test_another_process_is_kept_out(lock, holder):
    with (
        pytest.raises(files.LockedError, match="is held by another"),
        files.locked(lock),
    ):
        pass
    holder.communicate()  # its input ends, and so does its block
    with files.locked(lock):
        pass


def test_a_lock_ends_with_its_process(lock, holder):
    holder.kill()
    holder.wait()
    with files.locked(lock):
        pass


def test_the_same_process_is_kept_out(lock):
    with files.locked(lock), pytest.raises(files.LockedError), files.locked(lock):
        pass
    with files.locked(lock):
        pass


def test_text_is_utf_8_in_any_locale(tmp_path):
    """In a locale of ASCII, an argument's letters too; with the text's own line ends."""
    code = HOLDER.split("with files")[0] + (
        "files.write_text(pathlib.Path('text.csv'), '\\u03ba\\r\\n' + sys.argv[1])"
    )
    environment = {
        **os.environ,
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    }
    subprocess.run(
        [sys.executable, "-c", code, "grün"],
        cwd=tmp_path,
        env=environment,
        check=True,
    )
    written = (tmp_path / "text.csv").read_bytes()
    assert written == "κ\r\ngrün".encode()
