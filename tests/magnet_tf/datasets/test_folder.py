"""A user's own images in a folder with a folder for each class."""

import itertools
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from magnet_tf import datasets


def image_of(index: int, shape=(7, 5, 3)) -> np.ndarray:
    """Noise that tells its index by its first pixel."""
    image = np.random.default_rng(index).integers(0, 256, shape, dtype=np.uint8)
    image[0, 0] = index
    return image


def save(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(image).save(path)


def fill(folder: Path, names="abc", count=10, start=0, shape=(7, 5, 3)) -> Path:
    """Ten images in each class's folder, numbered on."""
    for place, name in enumerate(names):
        for index in range(start + place * count, start + (place + 1) * count):
            save(folder / name / f"{index:03d}.png", image_of(index, shape))
    return folder


def indices(split: datasets.Split) -> list[int]:
    return np.rint(split.images[:, 0, 0, 0] * 255).astype(int).tolist()


def parts(dataset: datasets.Dataset) -> list[list[int]]:
    return [indices(s) for s in (dataset.train, dataset.validation, dataset.test)]


def test_a_folder_for_each_class(tmp_path):
    dataset = datasets.load(str(fill(tmp_path / "Meine Früchte")))
    assert dataset.name == "Meine_Fruchte" and dataset.num_classes == 3
    assert dataset.like == "cifar10" and dataset.zoo is None
    assert [len(part) for part in parts(dataset)] == [25, 2, 3]
    assert sorted(itertools.chain(*parts(dataset))) == list(range(30))
    assert indices(dataset.train) != sorted(indices(dataset.train))
    for split in (dataset.train, dataset.validation, dataset.test):
        assert split.images.dtype == np.float32 and split.labels.dtype == np.int64
        for index, image, label in zip(indices(split), *split):
            np.testing.assert_array_equal(np.rint(image * 255), image_of(index))
            assert label == index // 10
    again = datasets.load(tmp_path / "Meine Früchte")
    assert parts(again) == parts(dataset)
    assert again.fingerprint == dataset.fingerprint


@pytest.mark.parametrize("test", ["test", "validation"])
def test_tfds_layout(test, tmp_path):
    fill(tmp_path / "own/train")
    fill(tmp_path / "own" / test, names="bc", count=4, start=100)
    (tmp_path / "own/classes.txt").write_text("a b c", encoding="utf-8")
    dataset = datasets.load(tmp_path / "own")
    assert [len(part) for part in parts(dataset)] == [27, 3, 8]
    assert indices(dataset.test) == list(range(100, 108))
    assert dataset.test.labels.tolist() == [1] * 4 + [2] * 4
    assert sorted(indices(dataset.train) + indices(dataset.validation)) == list(
        range(30)
    )
    assert set(dataset.validation.labels) != {0}


def test_without_a_test_folder(tmp_path):
    dataset = datasets.load(fill(tmp_path / "own/train").parent)
    assert [len(part) for part in parts(dataset)] == [25, 2, 3]


def test_a_class_named_train(tmp_path):
    dataset = datasets.load(fill(tmp_path, names=["bus", "train"]))
    assert dataset.num_classes == 2


def test_grey_images_have_one_channel(tmp_path):
    fill(tmp_path, shape=(7, 5))
    image = np.arange(64, dtype=np.uint8).reshape(8, 8)[:7, :5]
    PIL.Image.fromarray(image).save(tmp_path / "a/jpeg.JPG", quality=100)
    dataset = datasets.load(tmp_path)
    assert dataset.image_shape == (7, 5, 1) and dataset.like == "mnist"


def test_one_image_of_colour_makes_three_channels(tmp_path):
    fill(tmp_path, shape=(7, 5))
    save(tmp_path / "b/colour.png", image_of(200))
    save(tmp_path / "b/alpha.png", image_of(201, (7, 5, 4)))
    PIL.Image.fromarray(image_of(1)).quantize(8).save(tmp_path / "c/palette.png")
    dataset = datasets.load(tmp_path)
    assert dataset.image_shape == (7, 5, 3)
    everything = np.concatenate(
        [s.images for s in (dataset.train, dataset.validation, dataset.test)]
    )
    grey = (everything == everything[..., :1]).all(axis=(1, 2, 3))
    assert (~grey).sum() == 3 and grey.sum() == 30


def test_what_the_system_leaves_in_folders_is_left_out(tmp_path):
    fill(tmp_path)
    for name in (".DS_Store", "a/Thumbs.db", "b/.hidden.png"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    assert datasets.load(tmp_path).num_classes == 3


def damage(folder: Path, name: str, content: bytes) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(content)


def cut(folder: Path) -> None:
    whole = (folder / "b/012.png").read_bytes()
    damage(folder, "b/012.png", whole[: len(whole) // 2])


def large(folder: Path) -> None:
    save(folder / "b/large.png", image_of(1, (8, 5, 3)))


def deep(folder: Path) -> None:
    save(folder / "b/deep.png", np.zeros((7, 5), np.uint16))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (large, r"b/large.png has 8x5 pixels, .*a/000.png 7x5; .* resize them"),
        (deep, "b/deep.png has more than 8 bits a channel"),
        (cut, "b/012.png cannot be read as a PNG or JPEG image"),
        (lambda f: damage(f, "b/x.png", b"text"), "b/x.png cannot be read as a PNG"),
        (lambda f: damage(f, "b/x.gif", b"GIF89a"), "b/x.gif is not a PNG or JPEG"),
        (lambda f: (f / "b/inner").mkdir(), "b/inner is not a PNG or JPEG image"),
        (lambda f: (f / "d").mkdir(), "d is empty; expected PNG or JPEG images"),
        (lambda f: save(f / "x.png", image_of(1)), "x.png lies outside of the folders"),
        (
            lambda f: fill(f / "train", "a"),
            "a is beside a folder train of class folders",
        ),
    ],
)
def test_what_cannot_serve_is_refused_in_a_sentence(spoil, message, tmp_path):
    fill(tmp_path)
    spoil(tmp_path)
    with pytest.raises(datasets.DatasetError, match=message) as raised:
        datasets.load(tmp_path)
    assert str(raised.value).startswith(str(tmp_path)) and "\n" not in str(raised.value)


def test_what_is_no_such_folder(tmp_path, data_dir, monkeypatch):
    (tmp_path / "empty").mkdir()
    with pytest.raises(datasets.DatasetError, match="empty holds no folders; expected"):
        datasets.load(tmp_path / "empty")
    fill(tmp_path / "one", names="a")
    with pytest.raises(datasets.DatasetError, match="one has a single class"):
        datasets.load(tmp_path / "one")
    fill(tmp_path / "new/train")
    fill(tmp_path / "new/test", names="ad")
    with pytest.raises(datasets.DatasetError, match="new/test/d is a class that the"):
        datasets.load(tmp_path / "new")
    (tmp_path / "images.zip").write_bytes(b"PK")
    with pytest.raises(datasets.DatasetError, match="images.zip is not a folder"):
        datasets.load(tmp_path / "images.zip")
    for name in (str(tmp_path / "nowhere"), "./nowhere", "no where/at all", ""):
        with pytest.raises(datasets.DatasetError, match="a folder of images that is"):
            datasets.load(name)


def test_a_published_name_is_no_path(tmp_path, data_dir, offline, monkeypatch):
    """A folder that happens to lie there is not taken for MNIST, unless it is meant."""
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "mnist")
    with pytest.raises(datasets.DatasetError, match="there is no network"):
        datasets.load("mnist")
    dataset = datasets.load("./mnist")
    assert dataset.name == "mnist" and dataset.zoo is None
    monkeypatch.chdir(tmp_path / "mnist")
    assert datasets.load(".").name == "mnist"
