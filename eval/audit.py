"""Does a finished evaluation hold? `python -m eval.audit --output_dir=runs/mnist-short`."""

from pathlib import Path
from typing import Any

from absl import flags

import magnet_cli


def define(values: flags.FlagValues) -> None:
    """The command's flags."""
    flags.DEFINE_string(
        "output_dir", None, "Of the evaluation that is audited.", flag_values=values
    )
    flags.DEFINE_string(
        "dataset", None, "Where it was data of your own: its path.", flag_values=values
    )
    flags.DEFINE_list(
        "modules",
        None,
        "Modules to import first, which register your classes and attacks.",
        flag_values=values,
    )


def do(args: Any) -> None:
    """Audits, writes `audit.json` into the directory, and prints it.

    One that was interrupted goes on with the check that it was at.
    """
    from eval import auditing
    from eval.arguments import FlagError, check_backend, imported
    from eval.auditing import evidence

    check_backend()
    if not args.output_dir:
        raise FlagError("--output_dir: name the directory of a finished evaluation.")
    modules = {name: imported(name) for name in args.modules or ()}
    directory = Path(args.output_dir)
    found = auditing.audit(evidence.load(directory, args.dataset), modules)
    auditing.write(directory, found)
    print(auditing.described(found))
    if failed := [name for name, of in found.items() if of.status == "fail"]:
        raise auditing.AuditError(
            f"{len(failed)} of {len(found)} checks failed: {', '.join(failed)}."
        )


COMMAND = magnet_cli.Command(
    name="eval.audit",
    summary="Tests whether a finished evaluation can be trusted, and exits with 1 where not.",
    define=define,
    do=do,
)

if __name__ == "__main__":
    magnet_cli.main(COMMAND)
