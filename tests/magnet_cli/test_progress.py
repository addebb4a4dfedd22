"""Bars, and their lines where there is no terminal."""

import io

import pytest

from magnet_cli import progress


@pytest.fixture
def clock(monkeypatch):
    """What the module takes for the time: a list of one number of seconds."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_file_gets_a_line_a_minute(clock):
    file = io.StringIO()
    lines = progress.Lines(file)
    for second in range(150):
        clock[0] = float(second)
        lines.write(f"\r{second}/150 [00:{second}<, 1 step/s]  ")
        lines.write("\n")
    assert file.getvalue() == (
        "60/150 [00:60<, 1 step/s]\n120/150 [00:120<, 1 step/s]\n"
    )


def test_without_a_terminal_long_work_tells_rate_and_time_left(clock, capsys):
    for step in progress.progress(range(100), unit="step", mininterval=0):
        clock[0] = float(step)
    first, *more = capsys.readouterr().err.splitlines()
    assert "/100 [" in first and "step/s]" in first and "<" in first
    assert len(more) == 0


def test_without_a_terminal_short_work_tells_nothing(capsys):
    assert list(progress.progress(range(100))) == list(range(100))
    assert capsys.readouterr().err == ""
