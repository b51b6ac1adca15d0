"""Exact copies against comparing every pair."""

import numpy as np
import pytest

from mien.data.arrays import load_images
from mien.data.audit import copies, digest, duplicate_of_earlier, in_other
from mien.data.fer import ferplus


@pytest.fixture
def two_splits():
    rng = np.random.default_rng(2)
    pool = rng.integers(0, 256, (12, 5, 4), np.uint8)
    return pool[rng.integers(0, 12, 30)], pool[rng.integers(4, 12, 9)]


def equal(a, b):
    return bool((a == b).all())


def test_copies_within(two_splits):
    a, _ = two_splits
    naive = [(i, j) for i in range(30) if (j := next(j for j in range(30) if equal(a[i], a[j]))) < i]
    assert copies(a).tolist() == [list(pair) for pair in naive]
    assert duplicate_of_earlier(a).tolist() == [any(equal(a[i], a[j]) for j in range(i)) for i in range(30)]
    assert not duplicate_of_earlier(a[~duplicate_of_earlier(a)]).any()


def test_copies_across(two_splits):
    a, b = two_splits
    assert in_other(a, b).tolist() == [any(equal(x, y) for y in b) for x in a]
    assert all(equal(a[i], b[j]) for i, j in copies(a, b))
    assert len(copies(a, b)) == in_other(a, b).sum() > 0


def test_one_level_of_one_pixel_makes_another_picture(two_splits):
    a, _ = two_splits
    changed = a[:1].copy()
    changed[0, 2, 2] ^= 1
    assert not in_other(changed, a).any()


def test_shape_counts_and_memory_layout_does_not():
    row = np.arange(12, dtype=np.uint8)
    assert digest(row.reshape(3, 4)) != digest(row.reshape(4, 3))
    assert digest(np.asfortranarray(row.reshape(3, 4))) == digest(row.reshape(3, 4))


def test_nothing_and_none():
    nothing = np.empty((0, 4, 4), np.uint8)
    assert copies(nothing).shape == (0, 2)
    assert in_other(nothing, nothing).shape == (0,)


@pytest.mark.slow
def test_ferplus_has_the_copies_that_are_known(shared_data):
    root = shared_data / "ferplus.zip"
    train, valid = (load_images(ferplus(root, split)) for split in ("train", "valid"))
    assert duplicate_of_earlier(train).sum() == 1_224
    assert in_other(valid, train).sum() == 279
