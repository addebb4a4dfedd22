"""What the values of flags must be: one sentence each, before any work."""

import math
import sys

import pytest

from eval.arguments import FlagError, check_names, imported, numbers
from magnet_tf import files


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module of a user's, of the name `mine_of_a_user`."""
    monkeypatch.syspath_prepend(tmp_path)
    name = "mine_of_a_user"

    def write(text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text)
        return name

    yield write
    sys.modules.pop(name, None)


def test_a_module_is_known_by_its_file(module, tmp_path):
    name = module("registered = True")
    assert imported(name) == files.sha256(tmp_path / f"{name}.py")
    assert sys.modules[name].registered


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0", "importing it failed with ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "importing it failed with SystemExit: 3"),
        ("import sys; sys.exit('bye')", "failed with SystemExit: bye"),
        ("from os import nothing_of_this_name", "ImportError: cannot import name"),
        ("def", "SyntaxError: invalid syntax"),
        ("import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
    ],
)
def test_a_module_that_fails_or_exits_is_named(text, message, module):
    with pytest.raises(FlagError, match=f"^--modules=mine_of_a_user: .*{message}"):
        imported(module(text))


@pytest.mark.parametrize("name", ["nothing_of_this_name", "json.nothing", "os.path.x"])
def test_a_module_that_is_missing_is_named(name):
    with pytest.raises(FlagError, match=f"^--modules={name}: No module named"):
        imported(name)


@pytest.mark.parametrize("name", ["..x", ".", "a b", "x/y", ""])
def test_what_is_no_name_of_a_module_is_named(name):
    with pytest.raises(FlagError, match="^--modules="):
        imported(name)


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "1e39", "1e300", "x", "", "0x1"])
def test_what_is_no_number_for_an_attack(text):
    with pytest.raises(FlagError, match="^--betas: .* got 0,"):
        numbers("betas", ["0", text])


def test_numbers_are_as_typed():
    assert numbers("betas", ["0", "1e-3", " 2 ", "3.4e38"]) == [0, 1e-3, 2, 3.4e38]
    assert numbers("betas", None) == []
    assert all(map(math.isfinite, numbers("betas", ["0.1"])))


def test_a_name_that_is_unknown_is_answered_with_those_there_are():
    check_names("attacks", ["cw"], {"cw": 1, "ead": 2})
    with pytest.raises(FlagError, match="^--attacks: .* 'fgsm'; .*cw,ead"):
        check_names("attacks", ["cw", "fgsm"], {"cw": 1, "ead": 2})
