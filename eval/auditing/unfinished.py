"""What an audit found before it was interrupted, for the one that goes on."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

import magnet_tf
from eval.auditing.evidence import Evidence
from eval.auditing.finding import Finding
from magnet_tf import files

NAME = "audit.unfinished.json"
ASKED = ("results.json", "settings.json", "*.npz", "*.keras", "attacks/*.npz")


class Unfinished:
    """The findings so far, in a file beside the evaluation that is audited.

    They count where evaluation, data and the user's own code are the same to the bit, and the
    version is the same; else everything is asked again.

    Args:
        evidence: that is audited.
        modules: the user's own code, {name: digest}.

    Attributes:
        found: the findings by check.
    """

    def __init__(self, evidence: Evidence, modules: Mapping[str, str]):
        self._path = evidence.directory / NAME
        self._of = _digest(evidence, modules)
        self.found: dict[str, Finding] = {}
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
            if content["of"] == self._of:
                self.found = {n: Finding(**f) for n, f in content["found"].items()}
        except files.DAMAGE:
            pass  # no audit was interrupted here, or its file is damaged

    def keep(self, name: str, finding: Finding) -> None:
        """Writes a finding down."""
        self.found[name] = finding
        found = {name: of._asdict() for name, of in self.found.items()}
        files.write_text(self._path, json.dumps({"of": self._of, "found": found}))


def remove(directory: Path) -> None:
    """Removes the findings of an audit that is finished."""
    (directory / NAME).unlink(missing_ok=True)


def _digest(evidence: Evidence, modules: Mapping[str, str]) -> str:
    """Of all that a finding depends on."""
    digest = hashlib.sha256(json.dumps([magnet_tf.__version__, dict(modules)]).encode())
    for pattern in ASKED:
        for path in sorted(evidence.directory.glob(pattern)):
            digest.update(f"{path.name} {files.sha256(path)}".encode())
    for split in (evidence.dataset.test, evidence.dataset.validation):
        for array in split:
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
