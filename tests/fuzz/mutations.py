"""How sound files are spoiled: bytes flipped, cut and moved, JSON altered key by key."""

import json
from typing import Any, NamedTuple

from hypothesis import strategies as st

WHERE = 2**32


class Edit(NamedTuple):
    """One change of a file's bytes, at a share of its length."""

    how: str
    at: int
    count: int
    byte: int

    def __call__(self, content: bytes) -> bytes:
        """The bytes after the change."""
        at, more = self.at * len(content) // WHERE, bytes([self.byte]) * self.count
        head, tail = content[:at], content[at:]
        if self.how == "flip":  # one bit
            return head + bytes(b ^ (1 << self.byte % 8) for b in tail[:1]) + tail[1:]
        if self.how == "overwrite":
            return head + more[: len(tail)] + tail[self.count :]
        if self.how == "cut":
            return head
        if self.how == "drop":
            return head + tail[self.count :]
        if self.how == "insert":
            return head + more + tail
        if self.how == "repeat":
            return head + tail[: self.count] + tail
        return tail + head  # "turn"


HOWS = ("flip", "overwrite", "cut", "drop", "insert", "repeat", "turn")
# Small counts and whole numbers of bytes are where headers break.
edit = st.builds(
    Edit,
    st.sampled_from(HOWS + ("flip",) * 5),
    st.integers(0, WHERE - 1),
    st.sampled_from([1, 2, 4, 8, 64, 1000]),
    st.sampled_from([0, 1, 32, 48, 127, 128, 255]) | st.integers(0, 255),
)
edits = st.lists(edit, min_size=1, max_size=3)
WHOLE = [
    b"",
    b"\0" * 64,
    b"null",
    b"[]",
    b"{}",
    b"\xff\xfe{}",
    b"PK\x03\x04",
    b"\x89HDF\r\n\x1a\n",
    b"[" * 100_000,
    b"1" * 5000,
    b'"\\ud800"',
    b'{"digest": null}',
    b'{"settings": {}, "digest": 1}',
]
contents = edits | st.sampled_from(WHOLE)


def spoiled(content: bytes, how: list[Edit] | bytes) -> bytes:
    """A file's bytes after some edits, or others in their place."""
    if isinstance(how, bytes):
        return how
    for change in how:
        content = change(content)
    return content


STRANGE: list[Any] = [
    *(None, True, False, 0, -1, 2, 0.5, 1e308, float("nan"), float("inf"), 10**30),
    *(
        "",
        "many",
        "é\0",
        "0",
        "../x",
        [],
        {},
        [[]],
        [None],
        {"": 0},
        [1, 2, 3],
        {"a": {}},
    ),
    *("Dense", "Lambda", "softmax", [3, 3], "float16", "../../etc/passwd", "x" * 3000),
]
strange = st.sampled_from(STRANGE)


class JsonEdit(NamedTuple):
    """One change of a JSON document, at a share of its places."""

    how: str
    at: int
    value: Any

    def __call__(self, document: Any) -> Any:
        """A copy of the document after the change."""
        document = json.loads(json.dumps(document))
        holders = list(_places(document))
        if not holders:
            return self.value
        holder, key = holders[self.at * len(holders) // WHERE]
        if self.how == "delete":
            del holder[key]
        elif self.how == "replace":
            holder[key] = self.value
        elif isinstance(holder, dict):  # "rename"
            holder[f"{key}_"] = holder.pop(key)
        else:  # "double"
            holder.insert(key, holder[key])
        return document


json_edits = st.lists(
    st.builds(
        JsonEdit,
        st.sampled_from(["replace", "replace", "delete", "rename"]),
        st.integers(0, WHERE - 1),
        strange,
    ),
    min_size=1,
    max_size=3,
)


def _places(document: Any) -> Any:
    """Every (holder, key) of a document."""
    if isinstance(document, (dict, list)):
        keys = document if isinstance(document, dict) else range(len(document))
        for key in list(keys):
            yield document, key
            yield from _places(document[key])


def altered(document: Any, changes: list[JsonEdit]) -> Any:
    """A document after some changes."""
    for change in changes:
        document = change(document)
    return document
