"""The runs of a grid, and what each hands to its attack."""

import itertools

import numpy as np
import pytest

from eval import grid
from eval.grid import ATTACKS, Run, runs


def test_runs_of_a_grid():
    assert runs(["cw", "ead"], [10, 0], [0.1, 0.01]) == [
        Run("cw", 0),
        Run("cw", 10),
        Run("ead", 0, 0.01),
        Run("ead", 10, 0.01),
        Run("ead", 0, 0.1),
        Run("ead", 10, 0.1),
    ]


def test_what_is_named_twice_runs_once():
    found = runs(["cw", "ead", "cw"], [0, 0.0, 0], [0.1, 0.1])
    assert found == [Run("cw", 0), Run("ead", 0, 0.1)]


@pytest.mark.parametrize(
    ("run", "name"),
    [
        (Run("cw", 0.0), "cw-kappa0"),
        (Run("cw", 2.5), "cw-kappa2.5"),
        (Run("ead", 10.0, 0.01), "ead-beta0.01-kappa10"),
        (Run("ead", 10, 0.0), "ead-beta0-kappa10"),
    ],
)
def test_names_of_runs(run, name):
    assert run.name == name


def test_no_two_runs_share_a_name():
    """Or one would be handed the other's examples."""
    values = [0, 1, 1e-7, 0.1, 0.1000001, 10, 10.00001, 1e7, 1e7 + 1]
    names = [run.name for run in runs(["cw", "ead"], values, values)]
    assert len(set(names)) == len(names) == len(values) + len(values) ** 2


@pytest.mark.parametrize(
    ("attack", "function", "rules"),
    [
        ("cw", "carlini_wagner_l2", ["L2"]),
        ("ead", "elastic_net", ["EN", "L1"]),
    ],
)
def test_what_an_attack_is_called_with(attack, function, rules, monkeypatch):
    calls = []

    def spy(*args, **kwargs):
        calls.append((args, kwargs))
        return [
            f"at {kappa}" if attack == "cw" else {r: f"at {kappa}" for r in rules}
            for kappa in kwargs["confidence"]
        ]

    monkeypatch.setattr(grid, function, spy)
    beta = 0.1 if ATTACKS[attack].has_beta else None
    x, labels = np.zeros((2, 4, 4, 1)), np.array([0, 1])
    one, other = Run(attack, 5.0, beta), Run(attack, 7.0, beta)
    results = ATTACKS[attack].craft(len, x, labels, one, steps=3)
    assert results == dict.fromkeys(rules, "at 5.0")
    both = ATTACKS[attack].sweep(len, x, labels, [one, other], steps=3)
    assert both == [dict.fromkeys(rules, f"at {kappa}") for kappa in (5.0, 7.0)]
    for (args, kwargs), confidences in zip(calls, ([5.0], [5.0, 7.0]), strict=True):
        assert args[0] is len and args[1] is x and args[2] is labels
        expected = {"confidence": confidences, "steps": 3}
        assert kwargs == expected | ({} if beta is None else {"beta": beta})


def test_titles_tell_attacks_apart():
    titles = [attack.title for attack in ATTACKS.values()]
    assert all(a != b for a, b in itertools.combinations(titles, 2))
