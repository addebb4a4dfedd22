"""Shifts, flips and blanked squares against all that there can be."""

import numpy as np
import pytest

from train.augmentation import augmented

IMAGES = np.random.RandomState(0).uniform(size=(20, 6, 6, 1)).astype(np.float32)


def test_augmented_images_are_shifted_and_flipped_copies():
    """Of 20x30 images: by up to 2 and 3 pixels, edges repeated; all combinations."""
    random = np.random.RandomState(0)
    images = random.uniform(size=(1500, 20, 30, 2)).astype(np.float32)
    result = augmented(images, np.random.default_rng(0))
    padded = np.pad(images, [(0, 0), (2, 2), (3, 3), (0, 0)], mode="edge")
    explained = np.zeros(1500, int)
    used = set()
    for down in range(5):
        for right in range(7):
            shifted = padded[:, down : down + 20, right : right + 30]
            for flip in (1, -1):
                same = (result == shifted[:, :, ::flip]).all(axis=(1, 2, 3))
                explained += same
                if same.any():
                    used.add((down, right, flip))
    np.testing.assert_array_equal(explained, 1)
    assert len(used) == 5 * 7 * 2


def test_augmentation_follows_its_generator():
    one, again, other = (
        augmented(IMAGES.repeat(2, 1).repeat(2, 2), np.random.default_rng(seed))
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_small_images_are_flipped_alone():
    result = augmented(IMAGES, np.random.default_rng(0))
    kept = (result == IMAGES).all(axis=(1, 2, 3))
    flipped = (result == IMAGES[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (kept ^ flipped).all() and kept.any() and flipped.any()


@pytest.mark.parametrize("side", [1, 4, 5])
def test_a_square_of_each_is_made_grey_about_a_place_anywhere(side):
    """Cut where it lies outside, beside the same shift and flip; all places come up."""
    images = IMAGES.repeat(50, axis=0) / 4  # none of them grey
    whole = augmented(images, np.random.default_rng(0))
    result = augmented(images, np.random.default_rng(0), cutout=side)
    place = np.arange(6)
    seen = set()
    for image, cut in zip(whole, result):
        blanked = (cut != image)[:, :, 0]
        np.testing.assert_array_equal(cut[blanked], 0.5)
        stretches = [
            {c for c in range(6) if _equal(inside, place, c, side)}
            for inside in (blanked.any(axis=1), blanked.any(axis=0))
        ]
        assert all(stretches)
        assert blanked.sum() == blanked.any(axis=0).sum() * blanked.any(axis=1).sum()
        seen |= {(y, x) for y in stretches[0] for x in stretches[1]}
    assert len(seen) == 36


def _equal(inside, place, center, side):
    return (
        inside == ((place >= center - side // 2) & (place < center - side // 2 + side))
    ).all()
