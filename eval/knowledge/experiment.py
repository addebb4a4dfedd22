"""From the flags of the adaptive evaluation to its reports: each attacker in turn."""

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from eval import engines, experiment, publication
from eval.arguments import FlagError, check_names, numbers
from eval.detection import FALSE_POSITIVE_RATES
from eval.engines import Engine
from eval.evaluation import Evaluation, EvaluationError, Plan
from eval.grid import ATTACKS, CONFIDENCE, Group
from eval.knowledge import publication as reports
from eval.knowledge import rates
from eval.knowledge.results import KNOWLEDGE, AdaptiveResults, Attacker, Part
from eval.knowledge.targeted import TargetedEvaluation
from eval.knowledge.targeted import rows as targeted_rows
from eval.models import train_missing
from eval.store import Store
from eval.subject import Defence, Subject, built
from eval.target import Target, defended, undefended
from magnet_tf import MagNet

# The fork's attacker crafts with four times the defence's drop rates, so that what passes
# its own detectors by a little passes the defence's, too.
STRICTER = 4
OWN_SEED = (
    1000  # the first of the attacker's own trainings; the defence's begin at --seed
)
NUM_TARGETED = 10  # images that are attacked toward every class, unless there are fewer


class Study(NamedTuple):
    """What an adaptive evaluation is made of.

    Attributes:
        args: the flags.
        asked: for by them.
        subject: what is attacked.
        store: of the finished work.
        engine: where the work is done.
    """

    args: Any
    asked: experiment.Prepared
    subject: Subject
    store: Store
    engine: Engine

    def against(self, names: Sequence[str]) -> Subject:
        """The subject with some of its defences alone."""
        some = {name: self.subject.defences[name] for name in names}
        return dataclasses.replace(self.subject, defences=some)


def run(args: Any) -> None:
    """The whole path from data to report, for each attacker.

    Args:
        args: the flags of `eval.adaptive`.

    Raises:
        UserError: something that the flags ask for cannot be had.
    """
    asked = experiment.prepare(args, "-adaptive")
    knowledge = knowledge_of(args, asked)
    counts = own_counts(args, asked)
    wanted_rates(args)
    settings = {"evaluation": "adaptive", "pack": args.pack or 0}
    settings |= experiment.settings(args, asked)
    with (
        Store(asked.directory, settings) as store,
        engines.chosen(args) as engine,
    ):
        study = Study(args, asked, asked.subject(engine), store, engine)
        attacks = [
            attack for known in knowledge for attack in attackers(study, known, counts)
        ]
        parts = [part(study, *attack) for attack in attacks]
        found = AdaptiveResults(parts, chosen(study))
        at_rates = list(fixed_rates(study, found))
        targeted = list(toward_each_class(study, attacks)) if args.targeted else []
        if not args.defence:  # which its user has
            publication.keep_defences(asked.directory, study.subject.defences, store)
        print(f"{asked.directory}: {store.reused} files reused, {store.made} made\n")
        made_by = experiment.made_by(asked, study.subject)
        reports.write(asked.directory, found, at_rates, targeted, made_by)


def knowledge_of(args: Any, asked: experiment.Prepared) -> list[str]:
    """The attackers that the flags ask for, or all that can be had.

    Raises:
        FlagError: one cannot be had, or an attack cannot know a defence.
    """
    wanted = args.knowledge or list(KNOWLEDGE)
    check_names("knowledge", wanted, KNOWLEDGE)
    if why := no_gray_box(args, asked):
        if "gray" in (args.knowledge or ()):
            raise FlagError(f"--knowledge=gray: {why}.")
        wanted = [name for name in wanted if name != "gray"]
        print(f"The gray-box attacker is left out: {why}.")
    attacks = dict.fromkeys(group.attack for group in asked.plan.grid)
    unable = [name for name in attacks if not ATTACKS[name].has_constraints]
    if unable and set(wanted) != {"oblivious"}:
        raise FlagError(
            f"--attacks: {unable[0]!r} takes no constraints, and so cannot know a defence; "
            "leave it out, or add --knowledge=oblivious."
        )
    return [name for name in KNOWLEDGE if name in wanted]


def no_gray_box(args: Any, asked: experiment.Prepared) -> str | None:
    """Why there is no gray-box attacker; None where there may be one."""
    if args.defence:
        return (
            "--defence does not say how the attacker's own autoencoders are to be made"
        )
    if not len(asked.dataset.train.labels) and not (
        args.pack and experiment.from_zoo(args, asked.dataset)
    ):
        return (
            f"{asked.dataset.name} has no images to train the attacker's own autoencoders "
            "on, such as --dataset=mnist has"
        )
    return None


def own_counts(args: Any, asked: experiment.Prepared) -> list[int]:
    """How many autoencoders of its own the gray-box attacker has, rising.

    Raises:
        FlagError: one is no whole number of at least 1, or a pack is of one.
    """
    if args.pack == 1:
        raise FlagError(
            "--pack=1: from a pack of one there is nothing to draw; expected at least 2, or "
            "leave it out."
        )
    texts = args.gray_autoencoders or []
    if not all(text.isdecimal() and int(text) for text in texts):
        raise FlagError(
            "--gray_autoencoders: expected whole numbers of at least 1, such as 1,4,8, got "
            f"{','.join(texts)}."
        )
    counts = sorted({int(text) for text in texts} or asked.preset.gray_autoencoders)
    if (
        args.pack
        and experiment.from_zoo(args, asked.dataset)
        and counts[-1] > args.pack
    ):
        raise FlagError(
            f"--gray_autoencoders: the zoo's attacker has a pack of {args.pack}, too, got "
            f"{counts[-1]}."
        )
    return counts


def wanted_rates(args: Any) -> Sequence[float]:
    """The false positive rates at which success is told.

    Raises:
        FlagError: one is no number below 1.
    """
    if args.rates is None:
        return FALSE_POSITIVE_RATES
    if args.rates == ["none"]:
        return ()
    found = sorted(set(numbers("rates", args.rates)))
    if not all(rate < 1 for rate in found):
        raise FlagError(
            "--rates: expected shares of clean images below 1, such as 0.001,0.01, or none, got "
            f"{','.join(args.rates)}."
        )
    return found


def attackers(
    study: Study, knowledge: str, counts: Sequence[int]
) -> Iterator[tuple[Attacker, Target, list[str]]]:
    """Who attacks what, and the defences by which the examples are judged."""
    of = study.subject
    if knowledge == "oblivious":
        target = undefended(of.classifier, of.fingerprint)
        yield Attacker("oblivious"), target, list(of.defences)
    elif knowledge == "white":
        for name, defence in of.defences.items():
            yield Attacker("white"), white(study, name, defence), [name]
    else:
        by_variant: dict[str, list[str]] = {}
        for name, defence in of.defences.items():
            by_variant.setdefault(defence.variant, []).append(name)
        for variant, names in by_variant.items():
            own = own_defences(study, variant, max(counts))
            for count in counts:
                yield (
                    Attacker("gray", count),
                    gray(study, variant, own[:count]),
                    names,
                )


def white(study: Study, name: str, defence: Defence) -> Target:
    """A defence, all of which the white-box attacker knows."""
    settings = {
        "knowledge": "white",
        "classifier": study.subject.fingerprint,
        "defence": dict(defence.settings),
    }
    return defended(f"white/{name}/", settings, lambda: [defence.magnet()])


def own_defences(study: Study, variant: str, count: int) -> list[Defence]:
    """What the gray-box attacker makes itself, as the variant is made, but stricter."""
    args, asked = study.args, study.asked
    place = asked.directory / "attacker"
    own = functools.partial(built, variant, study.subject.classifier)
    rest = args, asked.preset, asked.dataset
    if args.pack:
        size, folder = count, place / f"pack{count}"
        if experiment.from_zoo(args, asked.dataset):
            size, folder = args.pack, experiment.zoo_folder(asked.dataset) / "attacker"
        models = experiment.models_at(folder, OWN_SEED, *rest)
        models = dataclasses.replace(models, pack=size)
        train_missing([models], [variant], study.engine, classifier=False)
        return [own(models, STRICTER, index) for index in range(count)]
    several = [
        experiment.models_at(place / f"seed{seed}", seed, *rest)
        for seed in range(OWN_SEED, OWN_SEED + count)
    ]
    train_missing(several, [variant], study.engine, classifier=False)
    return [own(models, STRICTER) for models in several]


def gray(study: Study, variant: str, own: Sequence[Defence]) -> Target:
    """Defences of the attacker's own, all of which an example is to get past."""
    settings = {
        "knowledge": "gray",
        "classifier": study.subject.fingerprint,
        "own": [dict(defence.settings) for defence in own],
    }

    def magnets() -> list[MagNet]:
        return [defence.magnet() for defence in own]

    return defended(f"gray/{variant}/{len(own)}/", settings, magnets)


def part(
    study: Study, attacker: Attacker, target: Target, names: Sequence[str]
) -> Part:
    """What an attacker reaches.

    Raises:
        EvaluationError: as `check_defended`.
    """
    of, plan = study.against(names), study.asked.plan
    evaluation = Evaluation(of, plan, study.store, target, study.engine)
    found = Part(attacker, evaluation.run())
    check_defended(AdaptiveResults([found], evaluation.chosen))
    return found


def chosen(study: Study) -> np.ndarray:
    """Which of the test images are attacked, int [N]."""
    return Evaluation(study.subject, study.asked.plan, study.store).chosen


def check_defended(found: AdaptiveResults) -> None:
    """Raises EvaluationError where a defence gets none of the attacked images right."""
    for one in found.reached():
        if not one.defended.any():
            raise EvaluationError(
                f"MagNet {one.name} gets none of the {len(one.defended)} images right when "
                "they are clean, so that no attack on it can be counted; attack more "
                "images, or look at its thresholds."
            )


def at_least_confidence(plan: Plan) -> Plan:
    """The plan with one run of each attack and beta: that of the least confidence.

    Where something takes the confidence's place, such as the radius of a ball, the run of its
    largest value: what has more of it reaches more.
    """
    grid: dict[tuple, Group] = {}
    for group in plan.grid:  # by rising values
        key = group.attack, group.beta
        if ATTACKS[group.attack].parameter != CONFIDENCE:
            grid[key] = dataclasses.replace(group, confidences=group.confidences[-1:])
        elif key not in grid:
            grid[key] = dataclasses.replace(group, confidences=group.confidences[:1])
    return dataclasses.replace(plan, grid=list(grid.values()))


def fixed_rates(study: Study, found: AdaptiveResults) -> Iterator[dict]:
    """Rows of success at fixed false positive rates.

    The white-box attacker knows the thresholds, and so crafts anew for those of each rate,
    with one run of each attack; what the others craft does not depend on them.
    """
    validation = study.subject.dataset.validation
    plan = at_least_confidence(study.asked.plan)
    for one in found.reached():
        defence = study.subject.defences[one.name]
        if not defence.detectors:
            continue  # rejects nothing
        judge = Evaluation(
            study.against([one.name]), plan, study.store, engine=study.engine
        )
        clean, _ = judge.outcome(one.name, defence, "validation", validation)
        for rate in wanted_rates(study.args):
            thresholds = rates.thresholds_at(clean.marks, rate)
            reached = one
            if one.attacker.knowledge == "white":
                known = rates.retuned(defence, thresholds)
                target = white(study, f"{one.name}-fpr{rate:g}", known)
                own = Evaluation(judge.subject, plan, study.store, target, study.engine)
                reached = one._replace(results=own.run())
            yield from rates.rows(reached, found.chosen, rate, thresholds)


def toward_each_class(
    study: Study, attacks: Sequence[tuple[Attacker, Target, list[str]]]
) -> Iterator[dict]:
    """Rows of targeted attacks by the oblivious and the white-box attacker."""
    plan = at_least_confidence(study.asked.plan)
    count = study.args.num_targeted or min(NUM_TARGETED, plan.num_examples)
    plan = dataclasses.replace(plan, num_examples=count)
    for attacker, target, names in attacks:
        if attacker.knowledge != "gray":
            of = study.against(names)
            evaluation = TargetedEvaluation(of, plan, study.store, target, study.engine)
            yield from targeted_rows(attacker, evaluation, evaluation.run())
