"""What made a file: the command that was started, and the day."""

import shlex
import sys
import time
from pathlib import Path


def command() -> list[str]:
    """The module that was started and its arguments."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return [spec.name if spec else Path(sys.argv[0]).name, *sys.argv[1:]]


def provenance() -> dict[str, str]:
    """{"command": as one would type it, "date": such as "2026-11-25"}."""
    return {
        "command": f"python -m {shlex.join(command())}",
        "date": time.strftime("%Y-%m-%d"),
    }
