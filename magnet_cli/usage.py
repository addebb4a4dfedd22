"""A command's own flags as a text, without those that libraries define."""

import re
import shutil
import textwrap
from collections.abc import Callable

from absl import flags


def usage(name: str, summary: str, define: Callable[[flags.FlagValues], None]) -> str:
    """What `--help` prints: the flags by group, each with its values and default.

    Args:
        name: of the command's module.
        summary: a sentence.
        define: defines the flags; the text before a colon in a flag's help is its group.
    """
    values = flags.FlagValues()
    own = set(values)
    define(values)
    width = min(shutil.get_terminal_size().columns, 100)
    groups: dict[str, list[str]] = {}
    for flag in values:
        if flag in own:
            continue
        # absl puts an enum's values first
        help_text = re.sub(r"^<[^>]*>: ", "", values[flag].help or "")
        group, colon, text = help_text.partition(": ")
        if not colon:
            group, text = "", group
        groups.setdefault(group, []).append(_entry(values[flag], text, width))
    lines = [f"python -m {name} [flags]", "", *textwrap.wrap(summary, width)]
    for group, entries in groups.items():
        lines += ["", f"{group or 'Flags'}:", *entries]
    return "\n".join(lines)


def _entry(flag: flags.Flag, text: str, width: int) -> str:
    choices = getattr(flag.parser, "enum_values", None)
    if flag.boolean:
        value = ""
    elif choices:
        value = "=" + "|".join(choices)
    else:
        value = {"comma separated list of strings": "=LIST", "int": "=N"}.get(
            flag.flag_type(), "=NUMBER" if flag.flag_type() == "float" else "=TEXT"
        )
    if flag.default is not None and flag.default != [] and "[" not in text:
        default = (
            ",".join(flag.default) if isinstance(flag.default, list) else flag.default
        )
        text += f" [{default}]"
    head = f"  --{flag.name}{value}"
    body = textwrap.wrap(
        text, width - 6, initial_indent=" " * 6, subsequent_indent=" " * 6
    )
    return "\n".join([head, *body])
