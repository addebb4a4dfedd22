"""The models of an evaluation: found where they are finished, trained where they are missing."""

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

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
    """

    directory: Path
    dataset: datasets.Dataset
    recipe: str
    steps: int | None
    seed: int
    own_classifier: Path | None = None
    pack: int = 0

    @functools.cached_property
    def classifier(self) -> cards.Trained:
        """The undefended classifier."""
        if path := self.own_classifier:
            model, unwrapped = saved.load_classifier(path)
            if unwrapped:
                print(f"{path}: took the softmax off its last layer.")
            return cards.Trained(model, {}, files.sha256(path))
        recipe = self._at_most(recipes.for_classifier(self.recipe, self.dataset))
        path = self.directory / "classifier.keras"
        return self._found(path, recipe) or classifiers.train_classifier(
            self.dataset, recipe, path, self.seed
        )

    def autoencoders(
        self, specs: Mapping[str, variants.Autoencoder]
    ) -> dict[str, cards.Trained]:
        """Autoencoders by name."""
        return {name: self._autoencoder(name, spec) for name, spec in specs.items()}

    @functools.cache  # noqa: B019 (there is one in a process)
    def _autoencoder(self, name: str, spec: variants.Autoencoder) -> cards.Trained:
        if self.pack:
            return self._packed(name, spec)
        path = self.directory / f"autoencoder_{name}.keras"
        recipe = self._at_most(
            recipes.for_autoencoder(self.recipe, self.dataset, spec.structure)
        )
        own = dataclasses.asdict(spec)  # II's file is not I's, whatever its name
        return self._found(path, recipe, **own) or autoencoders.train_autoencoder(
            self.dataset, spec, recipe, path, self.seed
        )

    def _packed(self, name: str, spec: variants.Autoencoder) -> cards.Trained:
        path = self.directory / f"pack_{name}.keras"
        published = recipes.for_pack("original", self.dataset)
        recipe = recipes.PackRecipe(
            self._at_most(published.alone), self._at_most(published.together)
        )
        own = {**dataclasses.asdict(spec), "count": self.pack}
        if found := self._found(path, recipe.together, **own):
            return found
        packs.train_pack(self.dataset, spec, recipe, path, self.seed, self.pack)
        return cards.load(path)  # without its own loss, which no other file knows

    def descriptions(self, specs: Mapping[str, variants.Autoencoder]) -> dict[str, str]:
        """How the classifier and these autoencoders were trained, {name: a line}."""
        own = str(self.own_classifier) if self.own_classifier else None
        return {"classifier": own or described(self.classifier.card)} | {
            f"autoencoder {name}": described(of.card)
            for name, of in self.autoencoders(specs).items()
        }

    def _found(
        self, path: Path, recipe: recipes.Recipe, **asked: object
    ) -> cards.Trained | None:
        """The finished model at a path; says so where its training was a shorter one.

        Raises:
            CardError: what is there is another model.
            ModelsError: it is to be trained into the zoo.
        """
        made_of = self.dataset.identity if self.dataset.path else self.dataset.zoo
        found = cards.load_or_set_aside(path, dataset=made_of, **asked)
        if found is None and zoo.ROOT in path.resolve().parents:
            raise ModelsError(
                f"the zoo has no {path.stem} for {self.dataset.name!r}, and nothing is "
                "trained into it; choose another folder of models."
            )
        if found and found.card["epochs"] < recipe.epochs:
            print(
                f"{path} was trained for {found.card['epochs']} epochs, this evaluation "
                f"would train it for {recipe.epochs}."
            )
        return found

    def _at_most(self, recipe: recipes.Recipe) -> recipes.Recipe:
        images = len(self.dataset.train.images)
        if self.steps is None or not images:  # a sample's models are there, or are not
            return recipe
        return recipe.at_most(self.steps, images)


def described(card: Mapping) -> str:
    """A line on a trained model: how good it is, and the command that made it."""
    key = next(key for key in ("test_accuracy", "validation_mse") if key in card)
    return f"{key.replace('_', ' ')} {card[key]:.4g}; `{card['command']}`"
