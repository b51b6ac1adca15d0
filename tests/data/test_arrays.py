"""A corpus in a mapped file: decoded once, whole or not there, never copied, the same to learn from."""

import hashlib
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from mien.data.arrays import data_hash, digest, gather, in_other, load_images
from mien.data.corpus import Corpus
from mien.data.fer import ferplus
from mien.errors import DataError
from mien.types import Sample

PIXELS = np.random.default_rng(0).integers(0, 256, (40, 48, 48), np.uint8)


def corpus(count=40):
    samples = tuple(Sample(str(i)) for i in range(count))
    return Corpus("noise/train", samples, lambda sample: PIXELS[int(sample.name)])


def test_what_is_kept_in_a_file_is_mapped_and_equals_what_is_decoded(tmp_path):
    for _ in range(2):  # decoded, then found
        images = load_images(corpus(), cache=tmp_path)
        assert isinstance(images.base, np.memmap)
        assert not images.flags.writeable
        assert np.array_equal(images, load_images(corpus()))
    assert len(list(tmp_path.iterdir())) == 1


def test_decoding_that_breaks_off_leaves_nothing(tmp_path):
    def read(sample):
        if sample.name == "30":
            raise KeyboardInterrupt
        return PIXELS[int(sample.name)]

    with pytest.raises(KeyboardInterrupt):
        load_images(replace(corpus(), read=read), cache=tmp_path)
    assert not list(tmp_path.glob("*.npy"))
    assert np.array_equal(load_images(corpus(), cache=tmp_path), PIXELS)
    assert not list(tmp_path.glob("*.part"))


def test_a_picture_of_another_size_is_named(tmp_path):
    odd = replace(corpus(), read=lambda sample: PIXELS[0, : 40 + (sample.name != "9") * 8])
    with pytest.raises(DataError, match=r"expected every picture to be \(48, 48\) like the first, 9 is"):
        load_images(odd, cache=tmp_path)
    assert not list(tmp_path.glob("*.npy"))


def test_a_file_that_lost_its_end_is_named(tmp_path):
    load_images(corpus(), cache=tmp_path)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="expected an array that Mien wrote"):
        load_images(corpus(), cache=tmp_path)


def test_chosen_pictures_of_several_arrays_come_as_one(tmp_path):
    which = [np.array([5, 1, 30]), np.arange(40)]
    images = gather([(PIXELS, which[0]), (255 - PIXELS, which[1])], tmp_path)
    assert isinstance(images.base, np.memmap)
    assert np.array_equal(images, np.concatenate([PIXELS[which[0]], 255 - PIXELS]))
    gather([(PIXELS, which[0]), (255 - PIXELS, which[1])], tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    gather([(PIXELS, which[0][::-1]), (255 - PIXELS, which[1])], tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_the_hash_is_that_of_all_pixels():
    images = np.random.default_rng(1).integers(0, 256, (2500, 3, 4), np.uint8)
    for some in (images, images[::2], images[:0], images[:, :, ::-1]):
        assert data_hash(some) == hashlib.sha256(some.tobytes()).hexdigest()[:16]


def test_copies_are_found_as_by_comparing_every_pair():
    rng = np.random.default_rng(2)
    pool = rng.integers(0, 256, (12, 5, 4), np.uint8)
    a, b = pool[rng.integers(0, 12, 30)], pool[rng.integers(4, 12, 9)]
    found = in_other(a, b)
    assert found.tolist() == [any(np.array_equal(x, y) for y in b) for x in a]
    assert 0 < found.sum() < 30
    changed = a[:1].copy()
    changed[0, 2, 2] ^= 1  # one level of one pixel makes another picture
    assert not in_other(changed, a).any()
    assert in_other(a[:0], b).shape == (0,)
    assert not in_other(a, b[:0]).any()


def test_shape_counts_and_memory_layout_does_not():
    row = np.arange(12, dtype=np.uint8)
    assert digest(row.reshape(3, 4)) != digest(row.reshape(4, 3))
    assert digest(np.asfortranarray(row.reshape(3, 4))) == digest(row.reshape(3, 4))


@pytest.mark.slow
def test_ferplus_has_the_copies_that_are_known(shared_data):
    train, valid = (load_images(ferplus(shared_data / "ferplus.zip", split)) for split in ("train", "valid"))
    assert len(train) - len({digest(image) for image in train}) == 1_224
    assert in_other(valid, train).sum() == 279


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np, torch
from mien.data.arrays import data_hash, in_other
from mien.nets.compact import Compact, CompactOptions
from mien.train.augment import AugmentOptions, labelled_loss
from mien.train.loop import LoopOptions, TrainingTask, train
from mien.train.faces import as_tensor

def field(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

torch.set_num_threads(1)
folder, count = Path(sys.argv[1]), int(sys.argv[2])
images = np.asarray(np.load(folder / "large.npy", mmap_mode="r"))

def learn(pictures, run):
    net = Compact(CompactOptions(stem=4, widths=(4, 8, 8), blocks=(1, 1, 1)))
    task = TrainingTask(pictures, torch.eye(8)[torch.arange(len(pictures)) % 8],
                labelled_loss(AugmentOptions()), lambda _: {})
    train(net, task, LoopOptions(epochs=2, batch=64, rate=0.02), folder / run)

learn(as_tensor(images[:256]), "first")  # what torch takes whatever the set's size
before = field("RssAnon")
limit = field("VmData") + (512 << 20)
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
try:
    images[np.arange(len(images))]
except MemoryError:
    print("a copy is refused")
data_hash(images[:50_000])
in_other(images[:2000], images[-2000:])
whole = as_tensor(images)
learn(whole[:: len(whole) // count], "second")  # pictures from all over the file
print("grown", field("RssAnon") - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/status and limits memory as Linux does")
def test_a_set_larger_than_the_memory_allowed_is_learnt_from(tmp_path):
    pytest.importorskip("torch", reason="the learning half is not installed")
    header = {"descr": "|u1", "fortran_order": False, "shape": (900_000, 48, 48)}  # 2.07 GB, a hole in a file
    with (tmp_path / "large.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.truncate(file.tell() + 900_000 * 48 * 48)
    command = [sys.executable, "-c", LIMITED, str(tmp_path), "1000"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    refused, grown = done.stdout.splitlines()
    assert refused == "a copy is refused"
    assert int(grown.split()[1]) < 64 << 20
