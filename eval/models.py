"""The models of an evaluation: found where they are finished, trained where they are missing."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import keras

from magnet_tf import datasets, files, saved, variants, zoo
from train import autoencoder, classifier, loop, recipes


@dataclass(frozen=True)
class Models:
    """Where a dataset's models are, and how those that are missing are trained.

    Attributes:
        directory: holds `classifier.keras` and `autoencoder_<name>.keras`.
        dataset: the data they are trained on.
        recipe: "published" or "short". steps: no training is longer, None: as the recipe.
        seed: of everything random.
        own_classifier: a user's `.keras` file, which then takes the classifier's place.
    """

    directory: Path
    dataset: datasets.Dataset
    recipe: str
    steps: int | None
    seed: int
    own_classifier: Path | None = None

    def classifier(self) -> tuple[keras.Model, str]:
        """The undefended classifier and its fingerprint."""
        if self.own_classifier:
            model, unwrapped = saved.load_classifier(self.own_classifier)
            if unwrapped:
                print(f"{self.own_classifier}: took the softmax off its last layer.")
            return model, files.sha256(self.own_classifier)
        path = self.directory / "classifier.keras"
        recipe = self._at_most(recipes.for_classifier(self.recipe, self.dataset))
        model = self._found(path, recipe) or classifier.train_classifier(
            self.dataset, recipe, path, self.seed
        )
        return model, files.sha256(path)

    def autoencoders(
        self, specs: Mapping[str, variants.Autoencoder]
    ) -> tuple[dict[str, keras.Model], dict[str, str]]:
        """Autoencoders by name, and their fingerprints by name."""
        models, fingerprints = {}, {}
        for name, spec in specs.items():
            path = self.directory / f"autoencoder_{name}.keras"
            recipe = self._at_most(
                recipes.for_autoencoder(self.recipe, self.dataset, spec.structure)
            )
            models[name] = self._found(path, recipe) or autoencoder.train_autoencoder(
                self.dataset, spec, recipe, path, self.seed
            )
            fingerprints[name] = files.sha256(path)
        return models, fingerprints

    def descriptions(self, autoencoders: Iterable[str]) -> dict[str, str]:
        """How the classifier and these autoencoders were trained, {name: a line}."""
        stems = [f"autoencoder_{name}" for name in autoencoders]
        if self.own_classifier:
            found = {"classifier": str(self.own_classifier)}
        else:
            found, stems = {}, ["classifier", *stems]
        for stem in stems:
            card = json.loads((self.directory / f"{stem}.json").read_text())
            key = next(k for k in ("test_accuracy", "validation_mse") if k in card)
            name = stem.replace("_", " ")
            quality = f"{key.replace('_', ' ')} {card[key]:.4g}"
            found[name] = f"{quality}; `{card['command']}`"
        return found

    def _found(self, path: Path, recipe: recipes.Recipe) -> keras.Model | None:
        """The finished model at a path; says so where its training was a shorter one.

        Raises:
            ValueError: it is to be trained into the zoo.
        """
        model = loop.trained(path, dataset=self.dataset.name)
        if model is None and zoo.ROOT in path.resolve().parents:
            raise ValueError(
                f"the zoo has no {path.stem} for {self.dataset.name!r}; leave out --models_dir to "
                "train it."
            )
        if model is not None:
            epochs = json.loads(path.with_suffix(".json").read_text())["epochs"]
            if epochs < recipe.epochs:
                print(
                    f"{path} was trained for {epochs} epochs, this evaluation would train "
                    f"it for {recipe.epochs}."
                )
        return model

    def _at_most(self, recipe: recipes.Recipe) -> recipes.Recipe:
        images = len(self.dataset.train.images)
        return recipe if self.steps is None else recipe.at_most(self.steps, images)
