"""Attacks of other libraries by name, such as `foolbox:DDNAttack(steps=50)`.

Each library has a module here with `PACKAGE`, `classes()`, `rule(...)`, `bounded(...)` and
`crafting(...)`.
"""

import ast
import functools
import hashlib
import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from types import ModuleType
from typing import Any, NamedTuple

import keras
import numpy as np

from attacks import AttackResult
from attacks.result import measured
from eval.grid import ATTACKS, CONFIDENCE, Attack, Group
from eval.metrics import margins
from magnet_tf.arrays import predicted
from magnet_tf.errors import UserError

LIBRARIES = {
    "foolbox": "eval.libraries.foolbox_attacks",
    "art": "eval.libraries.art_attacks",
}
TOLERANCE = 1e-3  # of a confidence: libraries take theirs by logits of their own
ROUNDING = 1e-5  # beyond the box

# From classifier, images [N, H, W, C] and labels [N] to adversarial examples.
Craft = Callable[[keras.Model, np.ndarray, np.ndarray], np.ndarray]


class LibraryError(UserError, ValueError):
    """An attack is not there, is asked for wrongly, or does not keep to its word."""


class Call(NamedTuple):
    """An attack as it is asked for.

    Attributes:
        text: as it was written.
        library: in `LIBRARIES`.
        name: of the class.
        arguments: fixed ones, by name.
        swept: the one that runs differ in, and its values; None where there is none.
    """

    text: str
    library: str
    name: str
    arguments: Mapping[str, Any]
    swept: tuple[str, tuple[float, ...]] | None


def listed(texts: Sequence[str]) -> list[str]:
    """The attacks of a list that was taken apart at every comma, those in brackets too."""
    found: list[str] = []
    depth = 0
    for part in texts:
        if depth:
            found[-1] += f",{part}"
        else:
            found.append(part.strip())
        depth += sum(map(part.count, "([{")) - sum(map(part.count, ")]}"))
    return found


def register(texts: Sequence[str]) -> None:
    """Makes attacks of other libraries known to the evaluation, under the texts they have.

    Args:
        texts: of all attacks; those without a colon are not of a library.

    Raises:
        LibraryError: a text does not say an attack that can be had.
    """
    for text in texts:
        if ":" in text and text not in ATTACKS:
            ATTACKS[text] = made(parsed(text))


def list_of_attacks() -> str:
    """Every attack that there is, with its arguments, a line each."""
    lines = [f"{name}: {of.title}" for name, of in ATTACKS.items()]
    for library in LIBRARIES:
        try:
            known = module(library)
        except LibraryError as error:
            lines += ["", str(error)]
            continue
        lines += ["", f"{known.TITLE}, as {library}:Name(argument=value, ...)"]
        for name, attack in known.classes().items():
            lines.append(
                f"{library}:{name}({', '.join(sorted(_takes(known, attack)))})"
            )
    return "\n".join(lines)


def _takes(library: ModuleType, attack: type) -> set[str]:
    """The arguments that an attack can be given by name."""
    own = inspect.signature(attack).parameters
    return {*own, *library.ARGUMENTS} - library.HIDDEN


def parsed(text: str) -> Call:
    """A text such as `foolbox:LinfFastGradientAttack(epsilon=[0.1, 0.2])`, read safely.

    Arguments are Python's literals; one list of numbers is what the runs differ in.

    Raises:
        LibraryError: it is not of that form.
    """
    library, _, call = text.partition(":")
    if library not in LIBRARIES:
        raise LibraryError(
            f"--attacks={text}: there is no library {library!r}; expected one of "
            f"{', '.join(LIBRARIES)}."
        )
    wrong = LibraryError(
        f"--attacks={text}: expected {library}:Name or {library}:Name(argument=value, ...), "
        "each value a number, a text, True, False, None or a tuple of these, one of them a "
        "list of numbers at most."
    )
    try:
        tree = ast.parse(call.strip(), mode="eval").body
        if isinstance(tree, ast.Name):
            tree = ast.Call(tree, [], [])
        if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
            raise wrong
        if tree.args or any(keyword.arg is None for keyword in tree.keywords):
            raise wrong
        arguments = {
            str(keyword.arg): ast.literal_eval(keyword.value)
            for keyword in tree.keywords
        }
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
        raise wrong from error
    lists = {key: of for key, of in arguments.items() if isinstance(of, list)}
    if len(lists) > 1:
        raise wrong
    swept = None
    for key, values in lists.items():
        if not values or not all(type(of) in (int, float) for of in values):
            raise wrong
        swept = key, tuple(sorted({float(of) for of in values}))
        del arguments[key]
    return Call(text, library, tree.func.id, arguments, swept)


def made(call: Call) -> Attack:
    """An attack of the evaluation.

    Raises:
        LibraryError: the library is not installed, has no such attack, or the attack takes
            no such argument.
    """
    library = module(call.library)
    known = library.classes()
    if call.name not in known:
        raise LibraryError(
            f"--attacks={call.text}: {call.library} has no attack {call.name!r} that runs "
            "here; --list_attacks shows those it has."
        )
    attack = known[call.name]
    takes = _takes(library, attack)
    asked = {*call.arguments, *([call.swept[0]] if call.swept else [])}
    if wrong := sorted(asked - takes):
        raise LibraryError(
            f"--attacks={call.text}: {call.name} takes no {wrong[0]!r}; it takes "
            f"{', '.join(sorted(takes))}."
        )
    parameter, values = call.swept or (None, ())
    if call.swept is None and CONFIDENCE in takes - asked:
        parameter = CONFIDENCE
    shown = ", ".join(f"{key}={of!r}" for key, of in call.arguments.items())
    title = f"{library.TITLE} {call.name}" + (f"({shown})" if shown else "")
    return Attack(
        functools.partial(
            _craft, call, parameter, library.rule(attack, call.arguments)
        ),
        has_beta=False,
        title=title,
        parameter=parameter,
        values=values,
        bounded=library.bounded(attack, asked),
        library=f"{library.PACKAGE} {metadata.version(library.PACKAGE)}",
    )


def module(library: str) -> ModuleType:
    """A library's module here.

    Raises:
        LibraryError: it is not installed.
    """
    try:
        return importlib.import_module(LIBRARIES[library])
    except ImportError as error:
        raise LibraryError(
            f"{library}'s attacks need it installed ({error}); "
            f"pip install '.[{library}]' in the project's folder."
        ) from error


def _craft(
    call: Call,
    parameter: str | None,
    rule: str,
    classifier: keras.Model,
    x: np.ndarray,
    labels: np.ndarray,
    group: Group,
    **_: Any,
) -> list[dict[str, AttackResult]]:
    """Runs a library's attack for each value of its parameter, and judges by itself."""
    library = module(call.library)
    found = []
    for value in group.confidences:
        own = {parameter: value} if parameter else {}
        before = _state(classifier)
        with _seeded(x):
            try:
                craft = library.crafting(call.name, {**call.arguments, **own})
                examples = np.asarray(craft(classifier, x, labels))
            except UserError:
                raise
            except Exception as error:
                raise LibraryError(
                    f"{call.text}: {call.library} failed with {type(error).__name__}: "
                    f"{error}."
                ) from error
        if _state(classifier) != before:
            raise LibraryError(
                f"{call.text}: it changed the classifier's weights, so nothing that comes "
                "after can be trusted; leave it out."
            )
        examples = _checked(call, examples, x)
        kappa = value if parameter == CONFIDENCE else call.arguments.get(CONFIDENCE, 0)
        success = margins(predicted(classifier, examples), labels) > max(
            kappa - TOLERANCE, 0
        )
        found.append({rule: measured(x, examples, success, const=np.zeros(len(x)))})
    return found


def _checked(call: Call, examples: np.ndarray, x: np.ndarray) -> np.ndarray:
    if examples.shape != x.shape:
        raise LibraryError(
            f"{call.text}: it returned images of shape {examples.shape}, {x.shape} were "
            "given."
        )
    if not np.isfinite(examples).all():
        raise LibraryError(
            f"{call.text}: it returned images with NaN or infinite pixels."
        )
    if examples.min() < -ROUNDING or examples.max() > 1 + ROUNDING:
        raise LibraryError(
            f"{call.text}: it returned pixels from {examples.min():.4g} to "
            f"{examples.max():.4g}; images are in [0, 1]."
        )
    return examples.astype(np.float32).clip(0, 1)


def _state(classifier: keras.Model) -> str:
    digest = hashlib.sha256()
    for weights in classifier.get_weights():
        digest.update(np.ascontiguousarray(weights).tobytes())
    return digest.hexdigest()


class _seeded:
    """Everything random in it depends on the images alone; what is random outside stays."""

    def __init__(self, x: np.ndarray):
        digest = hashlib.sha256(np.ascontiguousarray(x).tobytes()).digest()
        self._seed = int.from_bytes(digest[:4], "big")

    def __enter__(self) -> None:
        import random

        import tensorflow as tf

        self._states = random.getstate(), np.random.get_state()
        random.seed(self._seed)
        np.random.seed(self._seed)
        tf.random.set_seed(self._seed)

    def __exit__(self, *_: object) -> None:
        import random

        random.setstate(self._states[0])
        np.random.set_state(self._states[1])
