"""The notebooks of examples/, executed as a reader does."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """What the cells print or show, and the kinds of what they show."""
    notebook = nbformat.read(EXAMPLES / "getting_past_magnet.ipynb", as_version=4)
    folder = tmp_path_factory.mktemp("notebook")
    NotebookClient(notebook, timeout=1200).execute(cwd=str(folder))
    shown = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    text = "".join(o.get("text", "") for o in shown if o.get("name") == "stdout")
    data = [o["data"] for o in shown if "data" in o]
    return text, data


def test_results_print_as_summaries(outputs):
    _, data = outputs
    texts = [of["text/plain"] for of in data]
    for kind in ("Dataset", "AttackResult", "Verdict"):
        assert any(f"<{kind}" in text for text in texts)
    assert max(map(len, texts)) < 500


def test_there_is_a_picture(outputs):
    _, data = outputs
    assert any("image/png" in of for of in data)


def test_ead_gets_past_and_carlini_wagner_does_not(outputs):
    text, _ = outputs
    past = dict(re.findall(r"^(.*): (\d+) of 16 get past MagNet$", text, re.MULTILINE))
    assert int(past["C&W"]) <= 2 and int(past["EAD (L1)"]) >= 8
