"""The checklist for evaluations of defences, as tests on a finished evaluation.

After Carlini et al., "On Evaluating Adversarial Robustness" (arXiv 1902.06705), and
Zimmermann et al., "Increasing Confidence in Adversarial Robustness Evaluations" (NeurIPS
2022, arXiv 2206.13991), whose active test, whether the attack breaks a defence that was
broken on purpose, is one of them.
"""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from eval import html_report, tables
from eval.auditing import again, kept, unfinished
from eval.auditing.evidence import Evidence
from eval.auditing.finding import Finding
from eval.auditing.unfinished import Unfinished
from magnet_cli.progress import progress
from magnet_tf import files
from magnet_tf.errors import UserError


class AuditError(UserError, RuntimeError):
    """A check failed."""


class Check(NamedTuple):
    """A test of the checklist.

    Attributes:
        asks: the question, whose answer must be yes.
        doubts: what a no throws doubt on.
        find: answers it.
    """

    asks: str
    doubts: str
    find: Callable[[Evidence], Finding]


CHECKS = {
    "bounds": Check(
        "Does every example lie in [0, 1], and is it as far away as was said?",
        "every number: examples outside of the box are no images",
        kept.bounds,
    ),
    "margin": Check(
        "Has every example that was found its margin of at least κ?",
        "the axis of confidences, and the successes",
        kept.margin,
    ),
    "rates": Check(
        "Are the rates those that the examples and defences give when asked again?",
        "the attack success rates",
        kept.rates,
    ),
    "card": Check(
        "Are thresholds and clean accuracy those of the models?",
        "the defence that was evaluated is another than the one described",
        kept.card,
    ),
    "unbounded": Check(
        "Does success rise with the budget, up to 100 % without bound?",
        "the attack: without a bound it must succeed",
        kept.unbounded,
    ),
    "broken_defence": Check(
        "Does the attack break a copy of the defence that rejects and heals nothing?",
        "how the verdict is reached: what fools the classifier must get past such a copy",
        kept.broken_defence,
    ),
    "single_step": Check(
        "Does a single step of the same length do no better than the attack?",
        "the attack's iterations: they do not help",
        again.single_step,
    ),
    "noise": Check(
        "Does random noise of the same length do worse, in 1,000 draws an image?",
        "the attack: its direction is no better than chance",
        again.noise,
    ),
    "gradient_free": Check(
        "Does an attack without gradients find nothing nearer?",
        "the gradients: the model may hide them",
        again.gradient_free,
    ),
    "iterations": Check(
        "Do twice the iterations change success by less than 2 points?",
        "the attack's budget: it was stopped too early",
        again.iterations,
    ),
    "repeats": Check(
        "Do results repeat from another batch size and order?",
        "the results: they depend on what they must not",
        again.repeats,
    ),
}


def audit(evidence: Evidence, modules: Mapping[str, str]) -> dict[str, Finding]:
    """The findings by check; those of an audit that was interrupted are taken over.

    Args:
        evidence: a finished evaluation.
        modules: the user's own code, {name: digest}.
    """
    so_far = Unfinished(evidence, modules)
    if so_far.found:
        print(f"audit: {len(so_far.found)} of {len(CHECKS)} checks taken over")
    with progress(CHECKS.items(), unit="check", leave=False) as bar:
        for name, check in bar:
            bar.set_description(name)
            if name not in so_far.found:
                so_far.keep(name, check.find(evidence))
    return {name: so_far.found[name] for name in CHECKS}


def write(directory: Path, found: dict[str, Finding]) -> None:
    """Writes `audit.json`, {check: {"status", "value", "why"}}, and the reports' last section."""
    content = {name: finding._asdict() for name, finding in found.items()}
    files.write_text(directory / "audit.json", json.dumps(content, indent=1))
    unfinished.remove(directory)
    head = ["question", "answer", "number", "in doubt, otherwise"]
    lines = [
        [CHECKS[name].asks, finding.status, finding.why, CHECKS[name].doubts]
        for name, finding in found.items()
    ]
    for path, section in (
        (directory / "report.md", f"\n## Audit\n\n{tables.table([head, *lines])}\n"),
        (
            directory / "report.html",
            _section(html_report.table([head, *lines], "Audit")),
        ),
    ):
        if path.is_file():
            text = re.sub(AUDIT, "", path.read_text(encoding="utf-8"))
            before, end, after = text.partition("</main>")
            files.write_text(path, before + section + end + after)


AUDIT = re.compile(r'\n## Audit\n.*|\n<section id="audit">.*?</section>\n', re.DOTALL)


def _section(table: str) -> str:
    return f'\n<section id="audit">\n<h2>Audit</h2>\n{table}\n</section>\n'


def described(found: dict[str, Finding]) -> str:
    """The findings as text, a line each, and what a failure throws doubt on."""
    lines = []
    for name, finding in found.items():
        lines.append(f"{finding.status:<14}  {CHECKS[name].asks}")
        lines.append(f"{'':<14}  {finding.why}")
        if finding.status == "fail":
            lines.append(f"{'':<14}  In doubt: {CHECKS[name].doubts}.")
    return "\n".join(lines)
