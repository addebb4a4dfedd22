"""What made a file: the command that was typed, and the day."""

import shlex
import sys
import time
from pathlib import Path

import magnet_cli


def command() -> str:
    """What was typed to start this process, such as "python -m train.pack --count=4"."""
    started = [Path(sys.argv[0]).name, *sys.argv[1:]]
    return magnet_cli.command_line() or f"python {shlex.join(started)}"


def provenance() -> dict[str, str]:
    """{"command": what was typed, "date": such as "2026-11-25"}."""
    return {"command": command(), "date": time.strftime("%Y-%m-%d")}
