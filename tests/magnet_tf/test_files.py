"""Files that are whole, in UTF-8, and locked against other processes."""

import ast
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
    assert not lock.exists()
    with files.locked(lock):
        assert lock.exists()
    assert not lock.exists()


def test_a_lock_ends_with_its_process(lock, holder):
    holder.kill()
    holder.wait()
    assert lock.exists()
    with files.locked(lock):
        pass


def test_the_same_process_is_kept_out(lock):
    with files.locked(lock):
        with pytest.raises(files.LockedError), files.locked(lock):
            pass
        assert lock.exists()
    with files.locked(lock):
        pass


def test_a_lock_on_a_file_that_was_removed_is_none(lock, monkeypatch):
    """Its last holder removed it after this one opened it, before this one claimed it."""
    claim, waiting = files._claim, [True]

    def claim_late(file):
        if waiting:
            waiting.clear()
            lock.unlink()
        claim(file)

    monkeypatch.setattr(files, "_claim", claim_late)
    with files.locked(lock), pytest.raises(files.LockedError), files.locked(lock):
        pass


def test_a_lock_where_nothing_can_be_made(tmp_path):
    with pytest.raises(FileNotFoundError), files.locked(tmp_path / "nowhere/x.lock"):
        pass


def test_text_is_utf_8_in_any_locale(tmp_path):
    """In a locale of ASCII; with the text's own line ends."""
    code = HOLDER.split("with files")[0] + (
        "files.write_text(pathlib.Path('text.csv'), '\\u03ba \\u2264 10\\r\\nb\\n')"
    )
    environment = {
        **os.environ,
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    }
    subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True
    )
    written = (tmp_path / "text.csv").read_bytes()
    assert written == "κ ≤ 10\r\nb\n".encode()


def test_no_text_is_read_or_written_in_the_locale_s_encoding():
    """Every such call in the package says its encoding; binary modes have none."""
    unsaid = []
    for path in PACKAGE.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call):
                continue
            name = getattr(call.func, "attr", getattr(call.func, "id", None))
            arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
            binary = any(
                isinstance(a, ast.Constant) and str(a.value) in ("rb", "wb", "ab")
                for a in arguments
            )
            says = any(keyword.arg == "encoding" for keyword in call.keywords)
            if name in ("open", "read_text", "write_text") and not (binary or says):
                unsaid.append(f"{path.name}:{call.lineno}")
    assert unsaid == []
