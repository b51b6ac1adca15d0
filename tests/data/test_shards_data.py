"""Shards of labelled faces: written, read in parts, mixed, learnt from."""

import io
import json
import tarfile
from collections import Counter
from itertools import chain, pairwise

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("webdataset", reason="the learning half is not installed: pip install 'mien[train]'")

from mien.cli import app, data_shards
from mien.data import shards as reading
from mien.data.shards import open_shards, write_shards
from mien.data.toy import ToySettings, write_toy
from mien.errors import ConfigError, DataError, OutputError
from mien.image import encode_image
from mien.train.recipes import make_recipe
from mien.train.shards import make_shards, shards_task
from mien.train.supervised import make_task
from mien.types import Sample


def faces(count=50, side=48):
    """Pictures whose corner tells their number, labelled by it."""
    pixels = np.random.default_rng(2).integers(0, 256, (count, side, side), np.uint8)
    pixels[:, 0, 0] = np.arange(count)
    votes = np.eye(8, dtype=int)[np.arange(count) % 8] * 10
    return [(pixels[i], Sample(f"{i}.png", tuple(map(int, votes[i])), unknown=i % 3)) for i in range(count)]


@pytest.fixture
def written(tmp_path):
    assert write_shards("drawn", "train", faces(), tmp_path, size=8) == 50
    return tmp_path


def names(shards, *part):
    return [sample.name for _, sample in shards.read(*part)]


def test_what_is_written_is_read(written):
    shards = open_shards(written, "train")
    assert (shards.name, len(shards), shards.counts) == ("drawn", 50, (8,) * 6 + (2,))
    want = {sample.name: (image, sample) for image, sample in faces()}
    for image, sample in shards.read(0):
        before, known = want.pop(sample.name)
        assert np.array_equal(image, np.repeat(before[:, :, None], 3, axis=2))
        assert sample == known
    assert not want


@pytest.mark.parametrize("processes", [1, 2, 3, 7, 50])
def test_parts_that_do_not_overlap_hold_every_picture_once(written, processes):
    shards = open_shards(written, "train")
    for seed in range(4):
        cuts = np.linspace(0, 50, processes + 1).astype(int)
        parts = [names(shards, seed, int(a), int(b)) for a, b in pairwise(cuts)]
        assert [len(part) for part in parts] == np.diff(cuts).tolist()
        assert Counter(chain(*parts)) == Counter(f"{i}.png" for i in range(50))


def test_a_part_reads_no_shard_that_it_has_nothing_of(written, monkeypatch):
    opened = []
    whole = reading._open
    monkeypatch.setattr(reading, "_open", lambda url: opened.append(url) or whole(url))
    for start in (0, 25):
        names(open_shards(written, "train"), 3, start, start + 25)
    assert len(opened) <= 7 + 1, "the one in which they meet is read twice"


def test_the_seed_decides_the_order_and_the_buffer_mixes(written, monkeypatch):
    shards = open_shards(written, "train")
    assert names(shards, 1) == names(shards, 1)
    assert names(shards, 1) != names(shards, 2)
    monkeypatch.setattr(reading, "BUFFER", 16)
    narrow = names(shards, 1)
    place = {f"{i}.png": i // 8 for i in range(50)}  # the shard of each
    runs = sum(place[a] == place[b] for a, b in pairwise(narrow))
    assert runs < 49 - 6, "neighbours come from several shards"
    assert Counter(narrow) == Counter(place.keys())


def test_the_same_faces_are_written_as_the_same_bytes(written, tmp_path):
    before = {path.name: path.read_bytes() for path in written.iterdir()}
    write_shards("drawn", "train", faces(), tmp_path / "again", size=8)
    assert before == {path.name: path.read_bytes() for path in (tmp_path / "again").iterdir()}


def test_writing_that_breaks_off_leaves_no_index(written):
    def broken():
        yield from faces(20)
        raise OutputError("the disk is full")

    with pytest.raises(OutputError, match="full"):
        write_shards("drawn", "train", broken(), written, size=8)
    with pytest.raises(DataError, match="expected the index of a split in shards"):
        open_shards(written, "train")


def foreign(url, members):
    """A tar file that another program wrote."""
    import fsspec

    with fsspec.open(url, "wb") as file, tarfile.open(fileobj=file, mode="w") as tar:
        for name, data in members:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def index(folder, url, count):
    (folder / "train.json").write_text(json.dumps({"shardlist": [{"url": url, "nsamples": count}]}))
    return open_shards(folder, "train")


JPEG = encode_image(np.full((64, 64, 3), (200, 120, 40), np.uint8), ".jpg")


def test_shards_of_others_are_read_from_where_fsspec_reads(tmp_path):
    members = [("a/1.jpg", JPEG), ("a/1.json", b'{"emotion": "Happy"}'), ("a/2.JPG", JPEG)]
    members += [("a/2.json", b'{"votes": [0, 0, 0, 0, 3, 0, 7, 0]}')]
    foreign("memory://shards/one.tar", members)
    pairs = list(index(tmp_path, "memory://shards/one.tar", 2).read(0))
    assert {sample.name: sample.votes.index(max(sample.votes)) for _, sample in pairs} == {"a/1": 1, "a/2": 6}
    assert pairs[0][0].shape == (64, 64, 3)
    assert abs(pairs[0][0].astype(int) - (200, 120, 40)).max() < 4


@pytest.mark.parametrize(
    ("members", "count", "said"),
    [
        ([("1.jpg", JPEG)], 1, "KeyError('json')"),
        ([("1.json", b'{"emotion": "happy"}')], 1, "StopIteration"),
        ([("1.jpg", JPEG), ("1.json", b'{"emotion": "bored"}')], 1, "bored"),
        ([("1.jpg", JPEG), ("1.json", b"[1]")], 1, "got AttributeError"),
        ([("1.jpg", JPEG), ("1.json", b'{"votes": [1, 2]}')], 1, "8 counts in the order neutral"),
        ([("1.jpg", JPEG), ("1.json", b'{"votes": [0, 0, 0, 0, 0, 0, 0, 0]}')], 1, "ValueError"),
        ([("1.jpg", JPEG[:99]), ("1.json", b'{"emotion": "happy"}')], 1, "ImageError"),
        ([("1.jpg", JPEG), ("1.json", b'{"emotion": "happy"}')], 2, "expected 2 pictures as its index says"),
        ([("1.jpg", JPEG), ("2.jpg", JPEG)], 1, "found more"),
    ],
)
def test_a_shard_that_holds_something_else_is_named(members, count, said, tmp_path):
    foreign(str(tmp_path / "one.tar"), members)
    with pytest.raises(DataError) as caught:
        list(index(tmp_path, "one.tar", count).read(0))
    assert "one.tar" in str(caught.value)
    assert said in str(caught.value)


def test_a_shard_that_is_gone_or_lost_its_end_is_named(written):
    shards = open_shards(written, "train")
    path = written / "train-000003.tar"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"train-000003.tar: "):
        names(shards, 0)
    path.unlink()
    with pytest.raises(DataError, match=r"train-000003.tar: cannot be read as a shard"):
        names(shards, 0)


def test_the_name_of_a_shard_is_no_command(tmp_path):
    shards = index(tmp_path, f"pipe:touch {tmp_path}/touched", 1)
    with pytest.raises(DataError, match="cannot be read as a shard"):
        names(shards, 0)
    assert not (tmp_path / "touched").exists()


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy") / "toy"
    write_toy(folder, ToySettings(models=20, cameras=1, gazes=1, size=64))
    return folder


def test_a_corpus_is_divided_by_person_and_mixed(toy, tmp_path):
    assert make_shards("toy", toy, tmp_path, size=50) == {"valid": 16, "train": 144}
    people = [
        {sample.name.split("_")[1] for _, sample in open_shards(tmp_path, split).read(0)}
        for split in ("train", "valid")
    ]
    assert len(people[1]) == 2
    assert not people[0] & people[1]
    with tarfile.open(tmp_path / "train-000000.tar") as tar:
        labels = [json.load(tar.extractfile(m))["votes"] for m in tar if m.name.endswith(".json")]
    assert len({tuple(votes) for votes in labels[:20]}) > 4, "a corpus lies sorted, its shards do not"


def test_the_command_tells_what_it_wrote(toy, tmp_path, capsys):
    data_shards.shards(tmp_path, data="toy", root=toy, size=100, seed=1)
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path}: valid 16 pictures",
        f"{tmp_path}: train 144 pictures",
    ]


def test_train_holds_no_copy_of_valid(tmp_path):
    for i, (image, _) in enumerate(faces(64)):
        emotion = ("happiness", "anger")[i % 2]
        for copy in range(1 + (i < 10)):
            path = tmp_path / "faces" / emotion / f"{i}-{copy}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_image(image, ".png"))
    make_shards("folder", tmp_path / "faces", tmp_path / "shards")
    held, train = (
        {image.tobytes() for image, _ in open_shards(tmp_path / "shards", split).read(0)}
        for split in ("valid", "train")
    )
    assert held
    assert not held & train
    assert len(held | train) == 64


def test_corpora_without_faces_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="expected one of ferplus, fer2013, toy, folder, got 'rafd'"):
        make_shards("rafd", tmp_path, tmp_path)


def test_the_compact_network_learns_from_shards_and_goes_on(toy, tmp_path):
    make_shards("toy", toy, tmp_path / "shards", size=50)
    command = ["train", "compact", "--data", "shards", "--root", tmp_path / "shards", "--out"]
    out = tmp_path / "run"
    done = CliRunner().invoke(app, [str(word) for word in [*command, out, "--epochs", 1]])
    assert done.exit_code == 0, done.output
    assert "n_argmax 16" in done.output
    facts = json.loads((out / "provenance.json").read_text())
    assert (facts["corpus"], facts["pictures"]) == ("toy", 144)
    again = CliRunner().invoke(app, [str(word) for word in [*command, out, "--epochs", 1]])
    assert again.exit_code == 0
    assert "epoch" not in again.output
    make_shards("toy", toy, tmp_path / "shards", size=40)
    other = CliRunner().invoke(app, [str(word) for word in [*command, out, "--epochs", 1]])
    assert "run on other pictures" in str(other.exception)


def test_teachers_cannot_label_shards(tmp_path):
    with pytest.raises(ConfigError, match="teachers, who cannot label --data shards"):
        shards_task(make_recipe("distill"), tmp_path, "cpu")


@pytest.mark.slow
def test_ferplus_in_shards_is_what_the_recipe_learns_from(shared_data, tmp_path):
    counts = make_shards("ferplus", shared_data / "ferplus.zip", tmp_path / "shards")
    _, facts = make_task(make_recipe("compact"), shared_data / "ferplus.zip", tmp_path / "run")
    assert counts["train"] == facts["pictures"]
