"""What is built to be installed elsewhere holds every file, and says what it is."""

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import magnet_tf

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(path.parent for path in ROOT.glob("*/__init__.py"))
BESIDE = ["docs", "examples", "results", "tests"]
READ_BY_SETUPTOOLS = ["setup.cfg", "pyproject.toml", "MANIFEST.in", "README.md"]


def files_in(*folders: Path) -> set[str]:
    return {
        file.relative_to(ROOT).as_posix()
        for folder in folders
        for file in folder.rglob("*")
        if file.is_file() and file.suffix != ".pyc"
    }


PACKAGED = files_in(*(path for path in PACKAGES if path.name != "tests"))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The names in an sdist, and those in the wheel that is built from it.

    Only the names count: of the copy that they are built from most files are empty.
    """
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    top = {path.name for path in ROOT.iterdir() if path.is_file()}
    for name in top | PACKAGED | files_in(*(ROOT / name for name in BESIDE)):
        copy = source / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        is_read = name in READ_BY_SETUPTOOLS or name == "magnet_tf/__init__.py"
        copy.write_bytes((ROOT / name).read_bytes() if is_read else b"")

    def build(what: str, folder: Path) -> Path:
        code = f"from setuptools.build_meta import {what}; {what}({str(target)!r})"
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, cwd=folder, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return next(target.glob("*.whl" if "wheel" in what else "*.tar.gz"))

    with tarfile.open(build("build_sdist", source)) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
        sdist.extractall(target, filter="data")
    (unpacked,) = (path for path in target.iterdir() if path.is_dir())
    with zipfile.ZipFile(build("build_wheel", unpacked)) as wheel:
        return names, set(wheel.namelist())


def test_the_wheel_holds_the_packages(built):
    _, wheel = built
    assert {name for name in wheel if ".dist-info/" not in name} == PACKAGED
    assert {"magnet_tf/data/NOTICE.md", "magnet_tf/py.typed"} < wheel


def test_the_wheel_has_the_licences(built):
    _, wheel = built
    licences = {name.partition("/licenses/")[2] for name in wheel}
    assert {"LICENSE", "magnet_tf/data/NOTICE.md"} < licences


def test_the_sdist_holds_the_tests_and_what_they_read(built):
    sdist, _ = built
    pages = {page.name for page in ROOT.glob("*.md")}
    needed = PACKAGED | files_in(*(ROOT / name for name in BESIDE)) | pages
    assert needed - sdist == set()


def test_there_is_one_version(built):
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version = magnet_tf.__version__
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE)[1] == version
    assert re.search(r"^## (.*)$", changes, re.MULTILINE)[1] == version
    assert f"magnet_tf-{version}.dist-info/METADATA" in built[1]


def test_magnet_in_a_folder_with_names_of_ours(tmp_path):
    """As from a script: without -P, `python -m` looks into the working folder first."""
    (tmp_path / "eval").mkdir()
    for name in ("train.py", "attacks.py", "eval/__init__.py"):
        (tmp_path / name).write_text("raise SystemExit('a file of the user ran')")
    (tmp_path / "mine.py").write_text("print('my module is imported')")
    arguments = ["oblivious", "--modules=mine", "--dataset=missing.npz"]
    done = subprocess.run(
        [sys.executable, "-P", "-m", "magnet_cli", *arguments],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )
    assert "my module is imported" in done.stdout
    assert done.stderr.startswith("eval.oblivious: ") and done.returncode == 1
    assert "missing.npz" in done.stderr and len(done.stderr.splitlines()) == 1
