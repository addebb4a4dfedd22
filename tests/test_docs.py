"""The code in README and docs, run as printed, and the links between them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    *sorted(ROOT.glob("*.md"), reverse=True),  # README first
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "results").glob("*.md")),
    ROOT / "tests" / "PARITY.md",
]
BLOCK = re.compile(
    r"```(python|sh)\n# walk: (\w+)(?:, in the file (\S+))?\n(.*?)```", re.DOTALL
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the walks take place, one after the other."""
    return tmp_path_factory.mktemp("walks")


# In the pages' order: later walks use files of the first.
LATER = ("defend", "detector", "attack")  # each begins with what the others left
WALKS = ["library", *(pytest.param(name, marks=pytest.mark.slow) for name in LATER)]


@pytest.mark.parametrize("walk", WALKS)
def test_walk(walk, folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    blocks = [block for block in BLOCK.findall(text) if block[1] == walk]
    assert blocks
    names = {}
    for language, _, file, code in blocks:
        if file:
            Path(file).write_text(code)
        elif language == "python":
            exec(compile(code, f"walk {walk}", "exec"), names)  # noqa: S102 (our own)
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


@pytest.mark.slow
def test_walks_leave_their_results(folder):
    for results, attack in [
        ("my_results", "FGSM"),
        ("rough_results", "roughness"),
    ]:
        assert attack in (folder / results / "report.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        file, _, heading = link.partition("#")
        target = page.parent / file if file else page
        assert target.exists(), link
        headings = (
            re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            if heading
            else []
        )
        anchors = [
            re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings
        ]
        assert not heading or heading in anchors, link


def test_the_readme_is_read_to_the_end():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1300
