"""How every command is run: its flags, its first word, and the one sentence it may end with.

A command is a light module with `COMMAND`; whatever is heavy is imported by what it does.
"""

from magnet_cli.command import Command, command_line, main, parsed

__all__ = ["Command", "command_line", "main", "parsed"]
