"""Checks that attack again: a sample of the images, at each attack's middle run."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from attacks import AttackResult
from attacks.minimum_norm import L2, PASSES
from attacks.primal_dual import GRADIENTS
from eval.auditing.evidence import SAMPLE, Evidence
from eval.auditing.finding import Finding, judged, none
from eval.grid import ATTACKS, Case, Group, Run

DRAWS = 1000  # of noise, an image
AT_ONCE = 50  # of these
STARTS, HALVINGS, STEPS = 16, 10, 50  # of the attack without gradients
NEARER = 0.05  # share of images on which it may be ahead, by chance
POINTS = 0.02  # by which twice the iterations may change success
# The attacks here, and the gradients of their primal-dual searches where none are asked for.
BUILT_IN = {"cw": PASSES * L2.iterations, "ead": GRADIENTS}


def single_step(evidence: Evidence) -> Finding:
    """The most that a single step's success is above the attack's, at the same length."""

    def step(x: np.ndarray, labels: np.ndarray, length: np.ndarray) -> np.ndarray:
        images = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = evidence.classifier(images, training=False)
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        gradient = np.asarray(tape.gradient(loss, images))
        return _moved(x, gradient, length)

    return _compared(evidence, step, draws=1, what="a single step")


def noise(evidence: Evidence) -> Finding:
    """The most that noise's success is above the attack's, at the same length."""
    rng = np.random.default_rng(0)

    def draw(x: np.ndarray, labels: np.ndarray, length: np.ndarray) -> np.ndarray:
        return _moved(x, rng.standard_normal(x.shape, dtype=np.float32), length)

    return _compared(evidence, draw, draws=DRAWS, what="noise")


def _compared(evidence: Evidence, move: Any, draws: int, what: str) -> Finding:
    """Another attack's success at the lengths of the examples found, against theirs."""
    most, where = -np.inf, ""
    for case, result in _samples(evidence):
        found = np.flatnonzero(result.success)
        if not len(found):
            continue
        kappa = case.run.margin
        x, labels = evidence.images[found], evidence.labels[found]
        own = x, labels, result.l2[found]
        at_once = min(draws, AT_ONCE)
        rates = []
        for _ in range(-(-draws // at_once)):
            many, its_labels, lengths = (np.repeat(of, at_once, axis=0) for of in own)
            moved = move(many, its_labels, lengths)
            rates.append(np.mean(evidence.margins(moved, its_labels) >= kappa))
        rate = np.mean(rates)
        if (ahead := float(rate) - 1) > most:
            most, where = ahead, f"{rate:.1%} against 100 % ({case.title})"
    if not where:
        return none("no example was found")
    return judged(most < 0, most, f"{what} of the same length fools {where}")


def gradient_free(evidence: Evidence) -> Finding:
    """The share of images on which lines to other images, then a walk, end nearer.

    Both ask for logits alone. The walk is that of Brendel et al., ICLR 2018
    (arXiv 1712.04248): a step toward the image with something thrown in, kept where the
    classifier is still fooled.
    """
    share, where = 0.0, "nowhere"
    for case, result in _samples(evidence):
        if case.run.bounded:
            continue  # its failures are no misses
        kappa = case.run.margin
        nearest = _nearest(evidence, len(result.success), kappa)
        own = np.where(result.success, result.l2, np.inf)
        if (ahead := float(np.mean(nearest < own))) > share:
            share, where = ahead, case.title
    return judged(
        share <= NEARER,
        share,
        f"it ends nearer, by L2, on {share:.1%} of the images ({where})",
    )


def _nearest(evidence: Evidence, count: int, kappa: float) -> np.ndarray:
    """The L2 distances that are reached without gradients, [N]; inf where nothing fools."""
    rng = np.random.default_rng(0)
    x, labels = evidence.images[:count], evidence.labels[:count]
    test = evidence.dataset.test
    starts = np.stack(
        [
            test.images[rng.choice(np.flatnonzero(test.labels != label), STARTS)]
            for label in labels
        ]
    )  # [N, S, H, W, C]

    def fools(tried: np.ndarray) -> np.ndarray:
        flat = tried.reshape(-1, *x.shape[1:]).astype(np.float32)
        own = evidence.margins(flat, np.repeat(labels, STARTS))
        return own.reshape(count, STARTS) >= kappa

    def lengths(tried: np.ndarray) -> np.ndarray:
        return np.linalg.norm((tried - image).reshape(count, STARTS, -1), axis=2)

    image, index = x[:, None], np.arange(count)
    fooled = fools(starts)
    low, high = np.zeros((count, STARTS)), np.ones((count, STARTS))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        ok = fools(image + middle[..., None, None, None] * (starts - image))
        low, high = np.where(ok, low, middle), np.where(ok, middle, high)
    ends = image + high[..., None, None, None] * (starts - image)
    reached = np.where(fooled, lengths(ends), np.inf)
    best = reached.argmin(axis=1)
    at, length = ends[index, best], reached[index, best]
    for _ in range(STEPS):
        thrown = rng.standard_normal(ends.shape) * 0.1 / np.sqrt(at[0].size)
        thrown *= np.where(np.isfinite(length), length, 0)[:, None, None, None, None]
        tried = np.clip(image + 0.97 * (at - x)[:, None] + thrown, 0, 1)
        reached = np.where(fools(tried), lengths(tried), np.inf)
        best = reached.argmin(axis=1)
        ahead = reached[index, best] < length
        at[ahead], length = (
            tried[index, best][ahead],
            np.where(ahead, reached[index, best], length),
        )
    return length


def iterations(evidence: Evidence) -> Finding:
    """The most that success, and what gets past, change with twice the iterations."""
    most, where = 0.0, "nowhere"
    tried = False
    for case, result, other in _again(evidence, twice=True):
        tried = True
        changes = {"success": other.success.mean() - result.success.mean()}
        for key, value in changes.items():
            if abs(value) > most:
                most, where = abs(float(value)), f"{key}, {case.title}"
    if not tried:
        return none("no attack here says how many iterations it takes")
    return judged(
        most < POINTS,
        100 * most,
        f"success changes by {100 * most:.1f} points ({where})",
    )


def repeats(evidence: Evidence) -> Finding:
    """The largest relative difference of a mean L2 distance, or of a success rate."""
    most, where = 0.0, "nowhere"
    tried = False
    for case, result, other in _again(evidence, twice=False):
        tried = True
        both = result.success & other.success
        off = [float(np.mean(result.success != other.success))]
        if both.any():
            off.append(abs(float(other.l2[both].mean() / result.l2[both].mean()) - 1))
        if max(off) > most:
            most, where = max(off), case.title
    if not tried:
        return none("there is no attack to repeat")
    return judged(most <= 0.01, most, f"the largest difference is {most:.2%} ({where})")


def _samples(evidence: Evidence) -> Iterator[tuple[Case, AttackResult]]:
    """The sample's part of each attack's middle run."""
    for cases in evidence.middle().values():
        for case in cases:
            yield case, evidence.crafted[case].first(SAMPLE)


def _again(
    evidence: Evidence, twice: bool
) -> Iterator[tuple[Case, AttackResult, AttackResult]]:
    """Middle cases with what was found then, and what is found now on the same images.

    In reverse order and other batches; or with twice the iterations.
    """
    x, labels = evidence.images[:SAMPLE], evidence.labels[:SAMPLE]
    for attack, cases in evidence.middle().items():
        if twice and attack not in BUILT_IN:
            continue
        run = cases[0].run
        group = crafted_with(evidence, run)
        search = doubled(attack, evidence.search) if twice else dict(evidence.search)
        results = ATTACKS[attack].craft(
            evidence.classifier,
            x[::-1],
            labels[::-1],
            group,
            batch_size=SAMPLE // 2,
            progress=False,
            **search,
        )
        found = results[group.confidences.index(run.confidence)]
        for case in cases:
            now = AttackResult(*(field[::-1] for field in found[case.rule]))
            yield case, evidence.crafted[case].first(SAMPLE), now


def crafted_with(evidence: Evidence, run: Run) -> Group:
    """The runs that a run was crafted with: its sweep's; else itself alone."""
    if not (
        ATTACKS[run.attack].sweeps and evidence.search.get("search") == "primal_dual"
    ):
        return Group(run.attack, run.beta, (run.confidence,))
    own = {
        case.run.confidence
        for case in evidence.crafted
        if (case.run.attack, case.run.beta) == (run.attack, run.beta)
    }
    return Group(run.attack, run.beta, tuple(sorted(own)))


def doubled(attack: str, search: Mapping[str, Any]) -> dict[str, Any]:
    """The search's keywords with twice the iterations, for one of the attacks here."""
    if search.get("search") == "primal_dual":
        return {**search, "gradients": 2 * search.get("gradients", BUILT_IN[attack])}
    return {**search, "max_iterations": 2 * search.get("max_iterations", 1000)}


def _moved(x: np.ndarray, direction: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Images moved by given L2 lengths, clipped into the box."""
    norms = np.linalg.norm(direction.reshape(len(x), -1), axis=1)
    scale = (length / np.maximum(norms, 1e-12))[:, None, None, None]
    return np.clip(x + scale * direction, 0, 1).astype(np.float32)
