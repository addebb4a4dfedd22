"""All kinds of inputs by name."""

from tests.fuzz import asked, foreign, kept, typed

KINDS = kept.KINDS | foreign.KINDS | asked.KINDS | typed.KINDS
