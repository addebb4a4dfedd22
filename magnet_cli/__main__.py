"""`magnet`, with a subcommand for each command: what `python -m` starts, from any folder.

A console script does not look for modules in the working folder, where a user may well have
a `train.py` or an `eval` folder.
"""

import importlib
import sys

import magnet_cli

COMMANDS = {
    "oblivious": "eval.oblivious",
    "adaptive": "eval.adaptive",
    "original": "eval.original",
    "audit": "eval.audit",
    "benchmark": "eval.benchmark",
    "ranks": "eval.ranks",
    "train-classifier": "train.classifier",
    "train-autoencoder": "train.autoencoder",
    "train-pack": "train.pack",
    "train-zoo": "train.zoo",
}


def main() -> None:
    """Runs the subcommand that the first argument names, with the arguments after it."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in COMMANDS:
        magnet_cli.main(importlib.import_module(COMMANDS[name]).COMMAND, arguments)
        return
    lines = [f"  magnet {key:<18} as python -m {of}" for key, of in COMMANDS.items()]
    usage = "\n".join(
        ["magnet COMMAND [flags]", "", *lines, "", "--help after a command."]
    )
    if name in ("-h", "--help", "help"):
        print(usage)
        return
    raise SystemExit(f"magnet: there is no command {name!r}.\n\n{usage}")


if __name__ == "__main__":
    main()
