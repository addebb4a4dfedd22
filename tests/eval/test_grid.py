"""The runs of a grid, and what each hands to its attack."""

import itertools

import numpy as np
import pytest

from eval import grid
from eval.grid import ATTACKS, Attack, Case, Group, Run, groups


def runs(*grid, sweep=False) -> list[Run]:
    return [run for group in groups(*grid, sweep=sweep) for run in group.runs]


@pytest.mark.parametrize("sweep", [False, True])
def test_runs_of_a_grid(sweep):
    assert runs(["cw", "ead"], [10, 0], [0.1, 0.01], sweep=sweep) == [
        Run("cw", 0),
        Run("cw", 10),
        Run("ead", 0, 0.01),
        Run("ead", 10, 0.01),
        Run("ead", 0, 0.1),
        Run("ead", 10, 0.1),
    ]


def test_a_group_shares_all_but_the_confidence():
    apart = groups(["cw", "ead"], [10, 0], [0.1], sweep=False)
    assert [group.confidences for group in apart] == [(0,), (10,)] * 2
    swept = groups(["cw", "ead"], [10, 0], [0.1], sweep=True)
    assert [group.confidences for group in swept] == [(0, 10)] * 2
    left = swept[1].without([Run("ead", 0, 0.1), Run("cw", 10)])
    assert left == Group("ead", 0.1, (10,))


def test_a_sweep_stays_whole_while_a_run_is_missing():
    group = Group("cw", None, (0, 10, 20))
    assert group.without([Run("cw", 0), Run("cw", 20)]) == group
    assert group.without(group.runs).runs == []


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


def test_an_attack_without_a_confidence_runs_once(monkeypatch):
    once = Attack(len, has_beta=False, title="Once", parameter=None)
    monkeypatch.setitem(ATTACKS, "once", once)
    assert runs(["once", "cw"], [5, 10], []) == [
        Run("once", 0),
        Run("cw", 5),
        Run("cw", 10),
    ]


def test_names_and_titles_of_cases():
    case = Case(Run("ead", 10.0, 0.01), "L1")
    assert case.name == "ead-beta0.01-kappa10-L1" and case.title == "EAD L1, β=0.01"
    assert Case(Run("cw", 0.0), "L2").title == "C&W L2"


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
    group = Group(attack, beta, (5.0, 7.0))
    both = ATTACKS[attack].craft(len, x, labels, group, steps=3)
    assert both == [dict.fromkeys(rules, f"at {kappa}") for kappa in (5.0, 7.0)]
    ((args, kwargs),) = calls
    assert args[0] is len and args[1] is x and args[2] is labels
    expected = {"confidence": (5.0, 7.0), "steps": 3}
    assert kwargs == expected | ({} if beta is None else {"beta": beta})


def test_titles_tell_attacks_apart():
    titles = [attack.title for attack in ATTACKS.values()]
    assert all(a != b for a, b in itertools.combinations(titles, 2))
