"""Datasets of TensorFlow Datasets (TFDS), by name or prepared in a folder."""

import socket
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np

from magnet_tf.datasets.dataset import Dataset, DatasetError, Split, divided
from magnet_tf.errors import first_line


def load_tfds(name: str) -> Dataset:
    """A TFDS dataset by name, downloaded where that is needed.

    Args:
        name: such as "mnist", "emnist/letters", or one's own in TFDS's folder.

    Raises:
        DatasetError: as `load`.
    """
    builder = _prepared(name)
    own = not knows(name)
    return _from(builder, name, Path(builder.data_dir) if own else None)


def load_prepared(path: Path) -> Dataset:
    """A dataset from the folder of a version that TFDS prepared, such as `<name>/1.0.0`.

    Args:
        path: of the folder, which holds `dataset_info.json`.

    Raises:
        DatasetError: it cannot be read, or does not classify images of one size.
    """
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder_from_directory(path)
    except Exception as error:
        raise DatasetError(
            f"{path} cannot be read as a dataset that TFDS prepared: {first_line(error)}"
        ) from error
    return _from(builder, builder.name, path)


def knows(name: str) -> bool:
    """Whether a name is of a dataset that TFDS publishes, in any configuration or version."""
    import tensorflow_datasets as tfds

    published = tfds.list_builders(with_community_datasets=False)
    return name.split("/")[0].split(":")[0] in published


def _from(builder: Any, name: str, path: Path | None) -> Dataset:
    features, splits = builder.info.features, builder.info.splits
    image, label = _keys(builder, name)
    if len(features[image].shape) != 3:
        raise DatasetError(
            f"TFDS dataset {name!r} has images of shape {features[image].shape}; "
            "this needs images [H, W, C]."
        )
    if "train" not in splits:
        raise DatasetError(
            f"TFDS dataset {name!r} has no training split, only {list(splits)}."
        )
    train = _read(builder, name, "train", image, label)
    test_name = next((s for s in ("test", "validation") if s in splits), None)
    test = _read(builder, name, test_name, image, label) if test_name else None
    return divided(name, train, test, features[label].num_classes, path)


def _keys(builder: Any, name: str) -> tuple[str, str]:
    """Under which keys an example has its image and its label."""
    features = dict(getattr(builder.info.features, "items", dict)())
    supervised = builder.info.supervised_keys
    if supervised is None:  # as in all that `store_as_tfds_dataset` makes
        shapes = {key: getattr(f, "shape", None) for key, f in features.items()}
        images = [k for k, s in shapes.items() if isinstance(s, tuple) and len(s) == 3]
        labels = [k for k in features if getattr(features[k], "num_classes", None)]
        if len(images) == len(labels) == 1:
            return images[0], labels[0]
        supervised = ()
    if len(supervised) == 2 and all(isinstance(key, str) for key in supervised):
        image, label = supervised
        if getattr(features[label], "num_classes", None):
            return image, label
    raise DatasetError(
        f"TFDS dataset {name!r} does not have one image and one integer label an example: its "
        f"features are {', '.join(sorted(features)) or 'none'}; the label must be a ClassLabel."
    )


def _prepared(name: str) -> Any:
    """The dataset's TFDS builder, its files downloaded and prepared."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core.download import downloader

    try:
        builder = tfds.builder(name)
    except Exception as error:
        raise DatasetError(
            f"there is no dataset {name!r}: expected 'digits', 'mnist_sample', a TFDS dataset "
            "such as 'mnist' or 'cifar10', an .npz file or a folder of images that is there "
            f"(TFDS says: {first_line(error)})."
        ) from error
    offline = _offline()
    if offline:  # each file would be asked for again and again, for minutes
        downloader.MAX_RETRIES = 0
    try:
        builder.download_and_prepare()
    except Exception as error:
        reason = "there is no network" if offline else first_line(error)
        raise DatasetError(
            f"dataset {name!r} is not in {builder.data_dir_root} and could not "
            f"be downloaded: {reason}. Connect to the network, or set TFDS_DATA_DIR to a "
            "folder where TFDS has prepared it, or take 'digits' or 'mnist_sample', which "
            "need neither."
        ) from error
    return builder


def _read(builder: Any, name: str, split: str, image: str, label: str) -> Split:
    import tensorflow_datasets as tfds

    shape = builder.info.features[image].shape
    data = builder.as_dataset(
        split=split,
        # of one size by their description: all at once
        batch_size=None if None in shape else -1,
        shuffle_files=False,
        decoders=tfds.decode.PartialDecoding({image: True, label: True}),
    )
    if None in shape:
        examples = list(_of_one_size(tfds.as_numpy(data), name, image))
        images = np.stack([example[image] for example in examples])
        labels = np.array([example[label] for example in examples])
    else:
        arrays = tfds.as_numpy(data)
        images, labels = arrays[image], arrays[label]
    if images.dtype != np.uint8:
        raise DatasetError(
            f"TFDS dataset {name!r} has {images.dtype} images, not 8-bit."
        )
    return Split(images.astype(np.float32) / 255, labels.astype(np.int64))


def _of_one_size(examples: Any, name: str, image: str) -> Any:
    first = None
    for example in examples:
        first = first or example[image].shape
        if example[image].shape != first:
            raise DatasetError(
                f"TFDS dataset {name!r} has images of {first} and of {example[image].shape}; "
                "this needs images that are all of one size."
            )
        yield example


def _offline() -> bool:
    """Whether no host can be looked up and no proxy would do it."""
    try:
        return not (
            urllib.request.getproxies() or socket.getaddrinfo("www.tensorflow.org", 443)
        )
    except OSError:
        return True
