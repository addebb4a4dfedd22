"""MagNet: a classifier, a reformer, detectors and their thresholds as one Keras model."""

import numbers
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np
from keras import ops

from magnet_tf import files, once, sharing
from magnet_tf.arrays import (
    BATCH_SIZE,
    check_images,
    compiled,
    image_shape,
    in_batches,
    takes_arrays,
)
from magnet_tf.detectors import (
    DivergenceDetector,
    ReconstructionDetector,
    check_model,
    relative_excess,
)
from magnet_tf.errors import InputError, InputTypeError, UserError
from magnet_tf.keras_files import SavedModelError, refusal
from magnet_tf.reformers import IdentityReformer, Reformer

OWN_PARTS = Reformer, IdentityReformer, ReconstructionDetector, DivergenceDetector
MODELS_OF_PARTS = "autoencoder", "classifier", "prober"
COMPILED_FROM = 4 * BATCH_SIZE  # to make a graph takes as long as some hundred images


class NotCalibratedError(UserError, RuntimeError):
    """A MagNet was asked for a verdict before its thresholds were set."""


class Heals(Protocol):
    """A reformer: `Reformer`, `IdentityReformer`, or a Keras layer of your own."""

    def heal(self, x: Any) -> Any:
        """Images [N, H, W, C] in [0, 1] -> the same shape and range."""


class Marks(Protocol):
    """A detector: `ReconstructionDetector` and its like, or a Keras layer of your own."""

    def mark(self, x: Any) -> Any:
        """Images [N, H, W, C] in [0, 1] -> marks [N]."""


class Verdict(NamedTuple):
    """What MagNet says of N images.

    Attributes:
        logits: float32 [N, K], the classifier's opinion of the healed images.
        passed: bool [N], whether every detector's mark is below its threshold.
        marks: the detectors' marks, {name: float32 [N]}.
    """

    logits: np.ndarray
    passed: np.ndarray
    marks: dict[str, np.ndarray]

    def __repr__(self) -> str:
        marks = (f"{name} {np.median(mark):.3g}" for name, mark in self.marks.items())
        return (
            f"<Verdict: {int(self.passed.sum())} of {len(self.passed)} images passed, "
            f"{self.logits.shape[-1]} classes; median marks: {', '.join(marks) or 'none'}>"
        )


@keras.saving.register_keras_serializable("magnet_tf")
class MagNet(keras.Model):
    """Defends a classifier: detectors reject images, a reformer heals those that pass.

    Meng & Chen, CCS 2017, https://arxiv.org/abs/1705.09064; `Operator` in the original.
    Calling it on images [N, H, W, C] gives a dict of tensors: `logits` [N, K] of the healed
    images, `passed` [N], `marks` {name: [N]}. It saves and loads like any Keras model, with
    its thresholds.

    Args:
        classifier: Keras model from images [N, H, W, C] in [0, 1] to logits [N, K].
        reformer: has `heal(x)`, images to images; `Reformer` or `IdentityReformer`.
        detectors: {name: detector}; each has `mark(x)`, images to marks [N].

    Raises:
        TypeError: a part is something else.

    Example:
        >>> magnet = MagNet(classifier, Reformer(ae), {"I": ReconstructionDetector(ae, p=2)})
        >>> magnet.calibrate(x_validation, {"I": 0.001})
        >>> verdict = magnet.judge(x)
        >>> verdict.logits.argmax(axis=1)[verdict.passed]
    """

    def __init__(
        self,
        classifier: keras.Model,
        reformer: Heals,
        detectors: Mapping[str, Marks],
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        check_model("classifier", classifier)
        _check_mapping("detectors", detectors, "object with mark(x)")
        _check_has("heal", "reformer", reformer)
        for name, detector in detectors.items():
            _check_has("mark", f"detector {name!r}", detector)
        self.classifier = classifier
        self.reformer = reformer
        self.detectors = dict(detectors)
        self._thresholds = self.add_weight(
            shape=(len(detectors),),
            initializer=not_set,
            trainable=False,
            name="thresholds",
        )
        self.built = True  # the parts are models, and the thresholds exist

    @property
    def thresholds(self) -> dict[str, float]:
        """{detector: threshold on its marks}; raises NotCalibratedError before `calibrate`."""
        thresholds = ops.convert_to_numpy(self._thresholds)
        if np.isnan(thresholds).any():
            raise NotCalibratedError(
                "this MagNet has no thresholds yet: call "
                "magnet.calibrate(x_validation, {detector: drop_rate}) first."
            )
        return dict(zip(self.detectors, thresholds.tolist()))

    def set_thresholds(self, thresholds: Mapping[str, float]) -> None:
        """Sets thresholds that an earlier calibration gave.

        Args:
            thresholds: {detector: threshold on its marks}, one for each detector; infinity
                lets everything pass.

        Raises:
            ValueError: a detector is missing or unknown, or a threshold is no number that
                float32 holds.
        """
        _check_mapping("thresholds", thresholds)
        for name in self.detectors:
            if name not in thresholds:
                raise InputError(
                    f"the threshold of {name!r} is missing; this MagNet's detectors are "
                    f"{list(self.detectors)}."
                )
        for name, threshold in thresholds.items():
            if name not in self.detectors:
                raise InputError(
                    f"there is a threshold for {name!r}, which is not among this MagNet's "
                    f"detectors {list(self.detectors)}."
                )
            # beyond float32's range it would become infinite, and let everything pass
            if not (_is_number(threshold) and _in_float32(threshold)):
                raise InputError(
                    f"the threshold of {name!r} must be a number, got "
                    f"{' '.join(repr(threshold).split())}; expected one within float32's "
                    "range, or infinity."
                )
        self._thresholds.assign([float(thresholds[name]) for name in self.detectors])

    def calibrate(
        self, x_validation: np.ndarray, drop_rates: Mapping[str, float]
    ) -> None:
        """Sets each detector's threshold so that it drops a share of the validation images.

        The threshold is the n-th largest mark, n = int(N * drop rate); marks below it pass
        (`Operator.get_thrs` in the original). With n = 0 it lies just above the largest
        mark, and a warning says so.

        Args:
            x_validation: clean images [N, H, W, C] in [0, 1] that nothing was trained on.
            drop_rates: {detector: share in [0, 1)}, one for each detector.

        Raises:
            TypeError, ValueError: the images are not as `judge` needs them, a detector is
                unknown or missing, a rate is outside [0, 1), or the classifier does not
                return finite logits.
        """
        _check_mapping("drop_rates", drop_rates)
        if set(drop_rates) != set(self.detectors):
            raise InputError(
                f"drop_rates must name this MagNet's detectors {sorted(self.detectors)}, "
                f"got {list(drop_rates)}."
            )
        for name, rate in drop_rates.items():
            if not (_is_number(rate) and 0 <= rate < 1):
                raise InputError(
                    f"the drop rate of {name!r} must be in [0, 1), got "
                    f"{' '.join(repr(rate).split())}."
                )
        marks = _run([self], x_validation, BATCH_SIZE)[0]["marks"]
        self.set_thresholds(
            {
                name: float(drop_threshold(marks[name], rate, name))
                for name, rate in drop_rates.items()
            }
        )

    def judge(self, x: np.ndarray, batch_size: int = BATCH_SIZE) -> Verdict:
        """What the defence says of images.

        Args:
            x: float array [N, H, W, C] in [0, 1].
            batch_size: how many images go through the models at a time.

        Returns:
            A `Verdict` of arrays.

        Raises:
            NotCalibratedError: there are no thresholds yet.
            TypeError, ValueError: the images are not floats in [0, 1] of the classifier's
                shape, the batch size is no whole number, or the classifier does not return
                finite logits.
        """
        return judged_by_each([self], x, batch_size)[0]

    @property
    def image_shape(self) -> tuple[int | None, ...] | None:
        """(H, W, C) of the classifier's input, None where the classifier does not say."""
        return image_shape(self.classifier)

    def call(self, x: Any, training: bool = False) -> dict[str, Any]:
        # Keras hands this default on to parts that do not say training=False themselves
        with once.shared():
            logits = once.applied(self.classifier, self.reformer.heal(x))
            marks = {name: part.mark(x) for name, part in self.detectors.items()}
        passed = ops.ones(ops.shape(x)[:1], dtype="bool")
        for index, mark in enumerate(marks.values()):
            passed = ops.logical_and(passed, mark < self._thresholds[index])
        return {"logits": logits, "passed": passed, "marks": marks}

    @takes_arrays
    def healed_logits(self, x: Any) -> Any:
        """The classifier's opinion of the healed images: [N, H, W, C] in [0, 1] -> [N, K].

        What an attacker who knows the reformer differentiates.
        """
        with once.shared():
            return once.applied(self.classifier, self.reformer.heal(x))

    @takes_arrays
    def constraints(self, x: Any) -> Any:
        """What must hold for `judge` to pass images: [N, H, W, C] in [0, 1] -> [N, J].

        What an attacker who knows the detectors keeps at or below 0: one column a detector,
        at most 0 exactly where its mark is below its threshold, differentiable, about
        mark / threshold - 1. A detector may say by `excess(x, threshold)` how far images
        are above its threshold, where its mark has no gradient that would lead back.

        Raises:
            NotCalibratedError: there are no thresholds yet; within a graph they are NaN.
        """
        if hasattr(x, "numpy"):
            _ = self.thresholds
        with once.shared():
            columns = [
                self._constraint(part, x, self._thresholds[index])
                for index, part in enumerate(self.detectors.values())
            ]
        none = ops.zeros((ops.shape(x)[0], 0))
        return ops.stack(columns, axis=1) if columns else none

    @staticmethod
    def _constraint(detector: Any, x: Any, threshold: Any) -> Any:
        mark = detector.mark(x)
        if hasattr(detector, "excess"):
            excess = detector.excess(x, threshold)
        else:
            excess = relative_excess(mark, threshold)
        # rounding must not call met what the verdict does not
        least = np.finfo(np.float32).tiny
        over = ops.where(mark < threshold, ops.minimum(excess, 0.0), excess)
        return ops.where(mark < threshold, over, ops.maximum(over, least))

    def save(self, filepath: str | os.PathLike, overwrite: bool = True) -> None:
        """Writes a `.keras` file, whole or not at all, and makes sure that it loads.

        Args:
            filepath: of the file, ending in `.keras`.
            overwrite: whether a file of that name is replaced.

        Raises:
            FileExistsError: there is such a file, and it is not to be replaced.
            SavedModelError: what is written could not be loaded again, such as a detector
                of your own whose configuration leaves its model out.
            WriteError: the disk is full, or the place cannot be written to.
        """
        path = Path(filepath)
        if path.suffix != ".keras":
            raise SavedModelError(f"{path}: a MagNet is saved as a .keras file.")
        if path.exists() and not overwrite:
            raise FileExistsError(f"{path} is there already; choose another name.")
        files.write(path, self._save_and_load)

    def _save_and_load(self, path: Path) -> None:
        try:
            super().save(path)
            keras.saving.load_model(path, compile=False, safe_mode=True)
        except OSError:
            raise
        except Exception as error:
            raise SavedModelError(
                f"this MagNet was not saved: its file {refusal(error)} A detector or "
                "reformer of your own keeps a model as an attribute of the name that its "
                "__init__ argument and the key in its get_config have."
            ) from error

    def export(self, filepath: str | os.PathLike) -> None:
        """Writes a TensorFlow SavedModel that is served without this package.

        Its signature takes `images`, float32 [N, H, W, C] in [0, 1], and gives `logits`
        [N, K], `passed` [N] and, for each detector, `marks_<name>` [N].

        Args:
            filepath: the folder to write.

        Raises:
            NotCalibratedError: there are no thresholds yet.
            WriteError: the disk is full, or the place cannot be written to.
        """
        _ = self.thresholds

        def serve(images: Any) -> dict[str, Any]:
            outputs = self(images)
            marks = {f"marks_{name}": m for name, m in outputs.pop("marks").items()}
            return outputs | marks

        archive = keras.export.ExportArchive()
        archive.track(self)
        images = keras.InputSpec(
            shape=(None, *(self.image_shape or [None] * 3)),
            dtype="float32",
            name="images",
        )
        archive.add_endpoint("serve", serve, input_signature=[images])
        files.write_folder(
            Path(filepath), lambda folder: archive.write_out(str(folder), verbose=False)
        )

    def get_config(self) -> dict:
        parts = [self.classifier, self.reformer, *self.detectors.values()]
        return {
            **super().get_config(),
            "detectors": list(self.detectors),
            **sharing.serialize(parts),
        }

    @classmethod
    def from_config(cls, config: dict) -> "MagNet":
        classifier, reformer, *detectors = sharing.deserialize(config)
        named = dict(zip(config["detectors"], detectors))
        return cls(classifier, reformer, named, name=config["name"])


def judged_by_each(
    magnets: Sequence[MagNet], x: np.ndarray, batch_size: int = BATCH_SIZE
) -> list[Verdict]:
    """What each of several defences says of the same images, as `MagNet.judge` does.

    A model that several of them hold is asked once about a batch.

    Args:
        magnets: calibrated.
        x: float array [N, H, W, C] in [0, 1].
        batch_size: how many images go through the models at a time.

    Raises:
        NotCalibratedError, TypeError, ValueError: as `MagNet.judge`.
    """
    for magnet in magnets:
        _ = magnet.thresholds  # raises before any work
    if not (isinstance(batch_size, numbers.Integral) and _is_number(batch_size)):
        raise InputTypeError(
            "batch_size must be a whole number of at least 1, got "
            f"{' '.join(repr(batch_size).split())}."
        )
    if batch_size < 1:
        raise InputError(
            f"batch_size must be a whole number of at least 1, got {batch_size}."
        )
    return [Verdict(**outputs) for outputs in _run(magnets, x, batch_size)]


def _run(magnets: Sequence[MagNet], x: np.ndarray, batch_size: int) -> list[dict]:
    def ask(batch: Any) -> list[dict]:
        with once.shared():
            return [magnet(batch) for magnet in magnets]

    for magnet in magnets:
        x = check_images(x, magnet.image_shape)
    if len(x) >= COMPILED_FROM and all(map(_is_one_graph, magnets)):
        ask = compiled(ask, x.shape[1:])
    outputs = in_batches(ask, x, batch_size)
    for of_one in outputs:
        check_logits(of_one["logits"])
    return outputs


def _is_one_graph(magnet: MagNet) -> bool:
    """Whether it is made of this package's parts and of models that are graphs of layers.

    What others' parts compute may be in NumPy, or differ from call to call.
    """
    parts = [magnet.reformer, *magnet.detectors.values()]
    held = [getattr(part, name, None) for part in parts for name in MODELS_OF_PARTS]
    models = [magnet.classifier, *(model for model in held if model is not None)]
    return all(type(part) in OWN_PARTS for part in parts) and all(
        hasattr(model, "inputs") for model in models
    )


def _check_mapping(what: str, given: object, value: str = "number") -> None:
    if not isinstance(given, Mapping):
        raise InputTypeError(
            f"{what} must be a dict {{detector: {value}}}, got {type(given).__name__}."
        )


def _check_has(method: str, what: str, part: object) -> None:
    if not callable(getattr(part, method, None)):
        raise InputTypeError(
            f"{what} must have a method {method}(x), got {type(part).__name__}."
        )


def _is_number(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _in_float32(value: float) -> bool:
    return abs(value) == np.inf or abs(value) <= float(np.finfo(np.float32).max)


def not_set(shape: tuple[int, ...], dtype: str) -> Any:
    """Initial thresholds: no mark is below NaN, so that nothing passes uncalibrated."""
    return ops.full(shape, float("nan"), dtype)


def drop_threshold(marks: np.ndarray, drop_rate: float, name: str) -> np.float32:
    """The mark from which on images are dropped, so that int(N * drop_rate) of N are.

    The original reads index -0, the smallest mark, where int(N * drop_rate) is 0, and so
    drops everything; here nothing is dropped then.
    """
    n = int(len(marks) * drop_rate)
    if n > 0:
        return np.sort(marks)[-n]
    warnings.warn(
        f"detector {name!r}: a drop rate of {drop_rate} of {len(marks)} validation images is "
        "less than one image; its threshold lies just above the largest validation mark.",
        stacklevel=4,
    )
    return np.nextafter(np.max(marks), np.float32(np.inf))


def check_logits(logits: np.ndarray) -> None:
    """Raises ValueError where a classifier's output is not finite logits [N, K]."""
    if logits.ndim != 2 or not np.isfinite(logits).all():
        raise InputError(
            f"the classifier must return finite logits [N, K], got shape {logits.shape}"
            + ("." if np.isfinite(logits).all() else " with NaN or infinite values.")
        )
    # rounded to bfloat16, probabilities add up to 1 within 2^-8
    if (logits >= 0).all() and np.allclose(logits.sum(axis=1), 1, atol=4e-3):
        raise InputError(
            "the classifier returns probabilities; MagNet needs logits: remove the softmax "
            "from its last layer, or let a model class of your own return what comes "
            "before it."
        )
