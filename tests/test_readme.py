"""The README's code, run as printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
BLOCK = re.compile(
    r"```(python|sh)\n# walk: (\w+)(?:, in the file (\S+))?\n(.*?)```", re.DOTALL
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the walks take place, one after the other."""
    return tmp_path_factory.mktemp("walks")


# In the README's order: later walks use files of the first.
@pytest.mark.parametrize("walk", ["defend", "detector", "attack"])
def test_walk(walk, folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    blocks = [block for block in BLOCK.findall(README.read_text()) if block[1] == walk]
    assert blocks
    names = {}
    for language, _, file, code in blocks:
        if file:
            Path(file).write_text(code)
        elif language == "python":
            exec(compile(code, f"README, walk {walk}", "exec"), names)  # noqa: S102 (our own)
        else:
            done = subprocess.run(
                code,
                check=False,
                shell=True,
                env=environment,
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stderr[-2000:]


def test_walks_leave_their_results(folder):
    for results, attack in [
        ("my_results", "FGSM"),
        ("rough_results", "roughness"),
    ]:
        assert attack in (folder / results / "report.md").read_text()
