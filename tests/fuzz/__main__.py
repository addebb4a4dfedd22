"""Tries as many inputs as one likes: `python -m tests.fuzz --count=10000 --seed=1`.

Whatever is neither a result nor a documented error is printed with the command that tries
that input alone, `python -m tests.fuzz --case=KIND:NUMBER`.
"""

import argparse
import collections
import itertools
import random
import sys
import time
import traceback
from collections.abc import Iterator

from tests.fuzz import cases
from tests.fuzz.kinds import KINDS


def arguments() -> argparse.Namespace:
    """The command's flags."""
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--count", type=int, default=1000, help="inputs, of all kinds")
    size.add_argument("--minutes", type=float, help="or how long to go on")
    size.add_argument("--case", metavar="KIND:NUMBER", help="or one input alone")
    size.add_argument("--kills", type=int, help="or runs that are killed, and finished")
    parser.add_argument("--seed", type=int, help="of all inputs [drawn]")
    parser.add_argument("--kinds", help=f"of {','.join(KINDS)} [all]")
    return parser.parse_args()


def main() -> None:
    """Runs the command; its exit status is 1 where something failed."""
    args = arguments()
    if args.case:
        name, number = args.case.split(":")
        if name == "kill":
            from tests.fuzz import killed

            sys.exit(killed.main(1, 0, only=number))
        sys.exit(not tried(name, number, collections.Counter(), say=True))
    seed = random.randrange(10**6) if args.seed is None else args.seed
    print(f"seed {seed}", flush=True)
    if args.kills:
        from tests.fuzz import killed

        sys.exit(killed.main(args.kills, seed))
    names = args.kinds.split(",") if args.kinds else list(KINDS)
    counts: collections.Counter = collections.Counter()
    start, failed = time.monotonic(), 0
    for count, (name, number) in enumerate(in_turn(names, seed)):
        spent = time.monotonic() - start
        if spent > 60 * args.minutes if args.minutes else count >= args.count:
            break
        failed += not tried(name, number, counts)
    print(table(counts))
    print(
        f"{counts.total()} inputs in {time.monotonic() - start:.0f} s, {failed} failed"
    )
    sys.exit(failed > 0)


def in_turn(names: list[str], seed: int) -> Iterator[tuple[str, str]]:
    """Kinds in the proportion of their shares, each with the number of its next input."""
    draw = random.Random(seed)
    numbers = {name: itertools.count() for name in names}
    shares = [KINDS[name].share for name in names]
    while True:
        (name,) = draw.choices(names, shares)
        yield name, f"{seed}.{next(numbers[name])}"


def tried(
    name: str, number: str, counts: collections.Counter, say: bool = False
) -> bool:
    """Tries an input and counts its outcome; whether it was a result or a documented error."""
    try:
        value, outcome = cases.numbered(name, KINDS[name], number)
    except cases.Failure as failure:
        counts[name, "FAILED"] += 1
        print(f"python -m tests.fuzz --case={name}:{number}", flush=True)
        error = failure.__cause__
        print(f"  input: {failure.args[0]!r}"[:1000])
        print("".join(traceback.format_exception(error, limit=None if say else -2)))
        return False
    counts[name, outcome] += 1
    if say:
        print(f"input: {value!r}\noutcome: {outcome}")
    return True


def table(counts: collections.Counter) -> str:
    """Counts by kind and outcome, as Markdown."""
    lines = ["| kind | inputs | outcomes |", "|---|---|---|"]
    for name in dict.fromkeys(name for name, _ in sorted(counts)):
        of = {outcome: n for (kind, outcome), n in counts.items() if kind == name}
        outcomes = ", ".join(f"{key} {n:,}" for key, n in sorted(of.items()))
        lines.append(f"| {name} | {sum(of.values()):,} | {outcomes} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
