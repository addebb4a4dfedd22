"""From the flags of an evaluation to its reports: plan, subject, evaluation, publication."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import magnet_cli
from eval import engines, libraries, publication, subject
from eval.arguments import (
    FlagError,
    check_backend,
    check_names,
    imported,
    numbers,
)
from eval.engines import Engine
from eval.evaluation import Evaluation, Plan
from eval.grid import ATTACKS, groups
from eval.models import Models, train_missing
from eval.presets import PRESETS, Preset
from eval.store import Store
from magnet_tf import datasets, variants, zoo


@dataclass(frozen=True)
class Prepared:
    """What the flags of an evaluation ask for.

    Attributes:
        plan: what is done.
        preset: that they name.
        dataset: likewise.
        directory: where the results go.
        subject: what is evaluated; models that are missing are then trained, on an engine.
    """

    plan: Plan
    preset: Preset
    dataset: datasets.Dataset
    directory: Path
    subject: Callable[[Engine], subject.Subject]


def prepare(args: Any, suffix: str = "", trains: bool = True) -> Prepared:
    """What can be known before anything is written or trained.

    Args:
        args: the flags.
        suffix: of the directory's name, where the flags give none.
        trains: whether models may be trained also where the evaluated ones are the zoo's.

    Raises:
        UserError: something that the flags ask for cannot be had.
    """
    check_backend()
    check_flags(args)
    modules = {name: imported(name) for name in args.modules or ()}
    preset = PRESETS[args.preset]
    names = libraries.listed(args.attacks)
    libraries.register(names)
    check_names("attacks", names, ATTACKS)
    dataset = datasets.load(args.dataset)
    if dataset.borrows:
        print(dataset.borrows)
    if not trains and from_zoo(args, dataset):
        dataset = dataset.without_training()
    plan = planned(args, preset, dataset, modules)
    default = f"runs/{dataset.name}-{args.preset}{suffix}"
    directory = Path(args.output_dir or default)
    # A user's own files are looked at before the directory becomes this run's.
    chosen = subject_of(args, preset, dataset, directory)
    made = chosen if callable(chosen) else lambda _: chosen
    return Prepared(plan, preset, dataset, directory, made)


def run(args: Any) -> None:
    """The whole path from data to report.

    Args:
        args: the flags of `eval.oblivious`.

    Raises:
        UserError: something that the flags ask for cannot be had.
    """
    asked = prepare(args, trains=args.defence_seeds > 1)
    plan, directory = asked.plan, asked.directory
    with (
        Store(directory, settings(args, asked)) as store,
        engines.chosen(args) as engine,
    ):
        of = asked.subject(engine)
        evaluation = Evaluation(of, plan, store, engine=engine)
        results = evaluation.run()
        if not args.defence:  # which its user has
            publication.keep_defences(directory, of.defences, store)
        print(f"{directory}: {store.reused} files reused, {store.made} made\n")
        publication.write(directory, results, made_by(asked, of), evaluation.healed)


def made_by(asked: Prepared, of: subject.Subject) -> dict[str, str]:
    """What results come from, {part: description}."""
    command = f"`{magnet_cli.command_line()}`"
    attacks = ", ".join(described(asked.plan))
    about = {"dataset": asked.dataset.borrows} if asked.dataset.borrows else {}
    return {"command": command, **about, "attacks": attacks, **of.made_by}


def described(plan: Plan) -> list[str]:
    """How the images are attacked: the search's keywords, and libraries in use."""
    used = dict.fromkeys(ATTACKS[group.attack].library for group in plan.grid)
    return [f"{key} {of}" for key, of in plan.search.items()] + list(filter(None, used))


def check_flags(args: Any) -> None:
    """That no flag contradicts another.

    Raises:
        FlagError: one does.
    """
    if args.defence:
        for name in ("variants", "classifier", "models_dir", "pack"):
            if getattr(args, name, None):
                raise FlagError(
                    f"--defence={args.defence} is whole; leave out --{name}."
                )
        if args.defence_seeds > 1:
            raise FlagError("--defence is one defence; leave out --defence_seeds.")
    if (
        args.momentum
        and (args.search or PRESETS[args.preset].search["search"]) != "exact"
    ):
        raise FlagError("--momentum is of the exact search; add --search=exact.")
    if args.momentum and "ead" not in args.attacks:
        raise FlagError("--momentum is EAD's, which --attacks does not name.")
    if args.engine == "local" and (
        args.ray_address or args.item_cpus or args.item_gpus
    ):
        raise FlagError(
            "--ray_address, --item_cpus and --item_gpus are Ray's; add --engine=ray."
        )
    if args.betas and not any(
        name not in ATTACKS or ATTACKS[name].has_beta for name in args.attacks
    ):
        raise FlagError("--betas is EAD's, which --attacks does not name.")


def planned(
    args: Any, preset: Preset, dataset: datasets.Dataset, modules: dict[str, str]
) -> Plan:
    """What is to be done, as flags and preset say.

    Raises:
        FlagError: a list holds something else than numbers, or there are too few images.
    """
    num_examples = args.num_examples or preset.num_examples
    if num_examples > len(dataset.test.labels):
        raise FlagError(
            f"--num_examples={num_examples}: {dataset.name} has "
            f"{len(dataset.test.labels)} test images."
        )
    search = dict(preset.search)
    if args.search not in (None, search["search"]):  # with that search's own defaults
        search = {"search": args.search}
    if args.momentum:
        search["momentum"] = args.momentum
    grid = groups(
        libraries.listed(args.attacks),
        numbers("confidences", args.confidences) or preset.confidences[dataset.like],
        numbers("betas", args.betas) or preset.betas,
        sweep=search["search"] == "primal_dual",
    )
    return Plan(grid, search, num_examples, args.seed, modules)


def settings(args: Any, asked: Prepared) -> dict:
    """What a directory's results have in common."""
    return {
        "dataset": asked.dataset.identity,
        "classifier": args.classifier,
        "num_examples": asked.plan.num_examples,
        "seed": asked.plan.seed,
        **asked.plan.search,
        "training_steps": asked.preset.training_steps,
    }


def subject_of(
    args: Any, preset: Preset, dataset: datasets.Dataset, directory: Path
) -> subject.Subject | Callable[[Engine], subject.Subject]:
    """What is evaluated; where models are yet to be trained, a function that does.

    Raises:
        UserError: a model that is named cannot be used.
    """
    if args.defence:
        return subject.from_defence(Path(args.defence), dataset)
    known = variants.VARIANTS[dataset.like]
    names = args.variants or [name for name in ("D", "D+JSD") if name in known]
    check_names("variants", names, known)

    zoos = from_zoo(args, dataset)
    own = Path(args.models_dir or directory / "models")
    folder = zoo_folder(dataset) if zoos else own
    others = [
        dataclasses.replace(
            models_at(directory / f"models/seed{seed}", seed, args, preset, dataset),
            like=folder,
        )
        for seed in range(args.seed + 1, args.seed + args.defence_seeds)
    ]
    if zoos and not args.classifier and not pack_of(args):
        base = subject.from_zoo(dataset, names)
        return further(base, others, names) if others else base
    first = models_at(folder, args.seed, args, preset, dataset)
    if args.classifier:
        subject.check_fit(first.classifier.model, dataset)

    def trained(engine: Engine) -> subject.Subject:
        train_missing([first, *others], names, engine, classifier=True)
        base = subject.from_models(first, names)
        return subject.with_others(base, others, names)

    return trained


def further(
    base: subject.Subject, others: Sequence[Models], names: Sequence[str]
) -> Callable[[Engine], subject.Subject]:
    """What adds further trainings of its defences to a subject."""

    def trained(engine: Engine) -> subject.Subject:
        train_missing(others, names, engine, classifier=False)
        return subject.with_others(base, others, names)

    return trained


def models_at(
    place: Path, seed: int, args: Any, preset: Preset, dataset: datasets.Dataset
) -> Models:
    """Models at a place, which are trained there, as flags and preset say, where missing."""
    own = args.classifier and Path(args.classifier)
    recipe = preset.recipe, preset.training_steps
    return Models(place, dataset, *recipe, seed, own, pack_of(args))


def from_zoo(args: Any, dataset: datasets.Dataset) -> bool:
    """Whether the models are the zoo's, as are those of what has nothing to train on."""
    trains = len(dataset.train.labels) > 0
    return args.models_dir == "zoo" or not (args.models_dir or trains)


def zoo_folder(dataset: datasets.Dataset) -> Path:
    """Where the zoo has the models of a dataset."""
    return zoo.ROOT / str(dataset.zoo)


def pack_of(args: Any) -> int:
    """Of how many autoencoders each of the defence's is drawn; 0: of none."""
    return (args.pack if "pack" in args else None) or 0  # of the adaptive evaluation
