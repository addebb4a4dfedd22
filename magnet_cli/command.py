"""One wrapper for all commands."""

import contextlib
import logging
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from absl import flags

from magnet_cli.usage import usage

HELP = {"-h", "--help", "-help", "-?", "--helpfull", "--helpshort"}


@dataclass(frozen=True)
class Command:
    """A command: what it is called, what it takes, and what it does.

    Attributes:
        name: of the module that `python -m` starts.
        summary: a sentence for the usage.
        define: defines the flags in the `FlagValues` that it is given.
        do: the work, from the parsed flags; imports what is heavy itself.
        doing: what is said before anything is imported, from the flags; None: nothing.
    """

    name: str
    summary: str
    define: Callable[[flags.FlagValues], None]
    do: Callable[[Any], object]
    doing: Callable[[Any], str] | None = None


def parsed(command: Command, arguments: Sequence[str] = ()) -> flags.FlagValues:
    """A command's flags, as given on a command line.

    Args:
        command: whose flags they are.
        arguments: without the program's name.

    Raises:
        SystemExit: a flag is unknown, has a value that it does not take or none, or there
            is an argument that is no flag; its text is one sentence.
    """
    values = flags.FlagValues()
    command.define(values)
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        parts = value.split(",")
        if equals and (not value.strip() or (len(parts) > 1 and "" in parts)):
            raise SystemExit(
                f"{command.name}: {flag} has an empty value; leave it out, or say which."
            )
    try:
        _, *stray = values([command.name, *arguments])
    except flags.Error as error:
        raise SystemExit(
            f"{command.name}: {' '.join(str(error).split())}; --help lists the flags."
        ) from error
    if stray:
        raise SystemExit(
            f"{command.name}: {stray[0]!r} belongs to no flag; a list is written with "
            "commas and without spaces, such as --variants=D,D+JSD."
        )
    return values


def main(command: Command, arguments: Sequence[str] | None = None) -> None:
    """Runs a command from its arguments.

    What a user did wrong, and what the operating system says, ends in one sentence and exit
    code 1; a bug of ours keeps its traceback.

    Args:
        command: to run.
        arguments: without the program's name; None: those of this process.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # what a terminal cannot show becomes "?"
            stream.reconfigure(errors="replace")
    if HELP & set(arguments):
        try:
            print(usage(command.name, command.summary, command.define), flush=True)
        except BrokenPipeError:  # its reader, such as `head`, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    args = parsed(command, arguments)
    global _line
    _line = shlex.join(["python", "-m", command.name, *arguments])
    if command.doing:
        print(command.doing(args), flush=True)
    try:
        quieten()
        command.do(args)
    except KeyboardInterrupt:
        raise SystemExit(
            f"{command.name}: interrupted; the same command goes on."
        ) from None
    except Exception as error:
        from magnet_tf.errors import UserError

        if isinstance(error, (UserError, OSError)):
            raise SystemExit(f"{command.name}: {error}") from error
        raise


_line: str | None = None


def command_line() -> str | None:
    """What was typed to start the command that runs, None where there is none."""
    return _line


def quieten() -> None:
    """Imports TensorFlow without the notes that it writes as it starts.

    They come from C++, before any setting of its own is read, and would stand where bars
    and results go. Where the import fails, what was written is shown. Under another backend
    Keras imports TensorFlow, too, but only where it is installed.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TFDS warns of what it calls itself; TensorFlow of loops that are traced for each target
    for library in ("absl", "tensorflow"):
        logging.getLogger(library).setLevel(logging.ERROR)
    with tempfile.TemporaryFile() as notes:
        sys.stderr.flush()
        terminal = os.dup(2)
        os.dup2(notes.fileno(), 2)
        try:
            import keras  # noqa: F401 (fails where its backend is not installed)

            with contextlib.suppress(ImportError):
                import tensorflow

                tensorflow.config.list_physical_devices()  # looks for CUDA
        except BaseException:
            notes.seek(0)
            os.write(terminal, notes.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
