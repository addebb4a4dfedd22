"""The models of an evaluation: found where they are finished, trained where they are missing."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.engines import Engine, Local
from eval.training import Training, run
from magnet_tf import cards, datasets, files, saved, variants, zoo
from magnet_tf.errors import UserError
from train import autoencoders, classifiers, packs, recipes


class ModelsError(UserError, ValueError):
    """A model is missing where none is to be trained."""


@dataclass(frozen=True, eq=False)
class Models:
    """Where a dataset's models are, and how those that are missing are trained.

    Attributes:
        directory: holds `classifier.keras` and `autoencoder_<name>.keras`.
        dataset: the data they are trained on.
        recipe: "published" or "short".
        steps: no training is longer; None: as the recipe.
        seed: of everything random.
        own_classifier: a user's `.keras` file, which then takes the classifier's place.
        pack: of so many autoencoders each is a pack, in `pack_<name>.keras`, which uses one
            that it picks by seed; 0: each is a single one.
        like: the folder of the first training, where these are further ones: what is found
            must have the recipe that its models had, and this seed.
    """

    directory: Path
    dataset: datasets.Dataset
    recipe: str
    steps: int | None
    seed: int
    own_classifier: Path | None = None
    pack: int = 0
    like: Path | None = None

    @functools.cached_property
    def classifier(self) -> cards.Trained:
        """The undefended classifier."""
        if path := self.own_classifier:
            model, unwrapped = saved.load_classifier(path)
            if unwrapped:
                print(f"{path}: took the softmax off its last layer.")
            return cards.Trained(model, {}, files.sha256(path))
        return self._loaded(self._of_classifier())

    def autoencoders(
        self, specs: Mapping[str, variants.Autoencoder]
    ) -> dict[str, cards.Trained]:
        """Autoencoders by name."""
        return {name: self._autoencoder(name, spec) for name, spec in specs.items()}

    @functools.cache  # noqa: B019 (there is one in a process)
    def _autoencoder(self, name: str, spec: variants.Autoencoder) -> cards.Trained:
        return self._loaded(self._of_autoencoder(name, spec))

    def missing(
        self, specs: Mapping[str, variants.Autoencoder], classifier: bool
    ) -> Iterator[Training]:
        """The trainings of what is not there.

        Args:
            specs: of the autoencoders that are wanted.
            classifier: whether it is wanted, too.
        """
        wanted = [self._of_autoencoder(name, spec) for name, spec in specs.items()]
        if classifier and not self.own_classifier:
            wanted.insert(0, self._of_classifier())
        yield from (training for training in wanted if not self._found(training))

    def _of_classifier(self) -> Training:
        recipe = self._at_most(recipes.for_classifier(self.recipe, self.dataset))
        return Training(
            self.directory / "classifier.keras",
            classifiers.train_classifier,
            {"recipe": recipe, "seed": self.seed},
            {},
            recipe.epochs,
        )

    def _of_autoencoder(self, name: str, spec: variants.Autoencoder) -> Training:
        if self.pack:
            return self._of_pack(name, spec)
        recipe = self._at_most(
            recipes.for_autoencoder(self.recipe, self.dataset, spec.structure)
        )
        loss, file = "mse", f"autoencoder_{name}.keras"
        asked = dataclasses.asdict(spec)  # II's file is not I's, whatever its name
        if self.like:
            recipe, loss = trained_by(self.like / file) or (recipe, loss)
            asked |= dataclasses.asdict(recipe) | {"loss": loss, "seed": self.seed}
        return Training(
            self.directory / file,
            autoencoders.train_autoencoder,
            {"spec": spec, "recipe": recipe, "loss": loss, "seed": self.seed},
            asked,
            recipe.epochs,
        )

    def _of_pack(self, name: str, spec: variants.Autoencoder) -> Training:
        published = recipes.for_pack("original", self.dataset)
        recipe = recipes.PackRecipe(
            self._at_most(published.alone), self._at_most(published.together)
        )
        of = {"spec": spec, "recipe": recipe, "seed": self.seed, "count": self.pack}
        asked = {**dataclasses.asdict(spec), "count": self.pack}
        if self.like:
            asked["seed"] = self.seed
        return Training(
            self.directory / f"pack_{name}.keras",
            packs.train_pack,
            of,
            asked,
            recipe.together.epochs,
        )

    def descriptions(self, specs: Mapping[str, variants.Autoencoder]) -> dict[str, str]:
        """How the classifier and these autoencoders were trained, {name: a line}."""
        own = str(self.own_classifier) if self.own_classifier else None
        return {"classifier": own or described(self.classifier.card)} | {
            f"autoencoder {name}": described(of.card)
            for name, of in self.autoencoders(specs).items()
        }

    def _loaded(self, training: Training) -> cards.Trained:
        """The model of a training, which is done here where it was not.

        Says so where it was a shorter one than this.
        """
        found = self._found(training)
        if found is None:
            run(self.dataset, [training], Local())
            return cards.load(training.path)
        if found.card["epochs"] < training.epochs:
            print(
                f"{training.path} was trained for {found.card['epochs']} epochs, this "
                f"evaluation would train it for {training.epochs}."
            )
        return found

    def _found(self, training: Training) -> cards.Trained | None:
        """The finished model of a training.

        Raises:
            CardError: what is there is another model.
            ModelsError: it is to be trained into the zoo.
        """
        path, asked = training.path, training.asked
        made_of = self.dataset.identity if self.dataset.path else self.dataset.zoo
        found = cards.load_or_set_aside(path, dataset=made_of, **asked)
        if found is None and zoo.ROOT in path.resolve().parents:
            raise ModelsError(
                f"the zoo has no {path.stem} for {self.dataset.name!r}, and nothing is "
                "trained into it; choose another folder of models."
            )
        return found

    def _at_most(self, recipe: recipes.Recipe) -> recipes.Recipe:
        images = len(self.dataset.train.images)
        if self.steps is None or not images:  # a sample's models are there, or are not
            return recipe
        return recipe.at_most(self.steps, images)


def train_missing(
    of: Sequence[Models], names: Sequence[str], engine: Engine, classifier: bool
) -> None:
    """Trains what variants lack, each model a piece of work, before it is asked for.

    Args:
        of: the trainings of the variants, all on one dataset.
        names: of the variants.
        engine: where the work is done.
        classifier: whether the first's is wanted, too.

    Raises:
        CardError, ModelsError: as `Models`. LockedError, UserError: as `training.run`.
    """
    dataset = of[0].dataset
    known = variants.VARIANTS[dataset.like]
    specs = {
        key: spec for name in names for key, spec in known[name].autoencoders.items()
    }
    trainings = [
        training
        for models in of
        for training in models.missing(specs, classifier and models is of[0])
    ]
    run(dataset, trainings, engine)


def trained_by(path: Path) -> tuple[recipes.Recipe, str] | None:
    """The recipe and the loss of a finished autoencoder, None where there is none.

    Args:
        path: of the model.

    Raises:
        CardError: what is there was not trained here, or is damaged.
    """
    if not path.exists():
        return None
    card = cards.checked(path)
    fields = {field.name for field in dataclasses.fields(recipes.Recipe)}
    # a card of an earlier version lacks what came later, and by default was not so then
    return recipes.Recipe(**{k: card[k] for k in fields & card.keys()}), card["loss"]


def described(card: Mapping) -> str:
    """A line on a trained model: how good it is, and the command that made it."""
    key = next(key for key in ("test_accuracy", "validation_mse") if key in card)
    return f"{key.replace('_', ' ')} {card[key]:.4g}; `{card['command']}`"
