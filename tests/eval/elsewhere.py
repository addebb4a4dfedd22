"""An engine that stands for another machine: what goes there, and comes back, is pickled."""

import pickle
from collections import Counter
from typing import NamedTuple


class Parcel(NamedTuple):
    content: bytes


class Elsewhere:
    """Does items in the opposite order.

    Attributes:
        done: how many of each unit.
    """

    here = False

    def __init__(self):
        self.done = Counter()

    def share(self, value) -> Parcel:
        return Parcel(pickle.dumps(value))

    def run(self, items, unit):
        for place in reversed(range(len(items))):
            function, args = pickle.loads(pickle.dumps(items[place][1:]))
            there = [
                pickle.loads(arg.content) if isinstance(arg, Parcel) else arg
                for arg in args
            ]
            self.done[unit] += 1
            yield place, pickle.loads(pickle.dumps(function(*there)))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass
