"""What the user named to inputs: folders, globs, lists, Parquet of paths and bytes, tar, object stores."""

import csv
import errno
import io
import os
import tarfile
from collections import Counter
from itertools import product
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image as Pil

from mien import analyze
from mien.batch import sources, stores
from mien.batch.sources import Source, find_sources, is_out_of_reach
from mien.errors import ImageError
from mien.image import encode_image

# --- files, folders, globs, lists (what folders and lists hold in general: test_properties_sources.py)


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def found(*arguments, **more):
    """Name and kind of what is found in the folder that is the current one."""
    return [(source.name, source.kind) for source in find_sources(arguments, **more)]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_links_to_files_count_and_links_to_folders_do_not(here):
    touch(here, "in/a.jpg", "other/b.jpg")
    (here / "in" / "link.jpg").symlink_to(here / "other" / "b.jpg")
    (here / "in" / "loop").symlink_to(here / "in")
    assert found("in") == [("in/a.jpg", "photo"), ("in/link.jpg", "photo")]


def test_a_file_named_itself_is_tried_whatever_its_ending(here):
    touch(here, "photo.dat", "noending", "a.MOV")
    assert found("photo.dat", "noending", "a.MOV") == [
        ("photo.dat", "photo"),
        ("noending", "photo"),
        ("a.MOV", "clip"),
    ]


def test_globs_are_expanded_sorted_and_brackets_in_names_are_names(here):
    touch(here, "b.jpg", "a.jpg", "x/c.jpg", "x/d.txt", "face[1].jpg")
    assert [name for name, _ in found("?.jpg")] == ["a.jpg", "b.jpg"]
    assert [name for name, _ in found("**/*")] == ["a.jpg", "b.jpg", "face[1].jpg", "x/c.jpg"]
    assert found("face[1].jpg") == [("face[1].jpg", "photo")]
    assert found("[x]") == [("x/c.jpg", "photo")]


def test_a_number_is_a_camera_unless_a_file_has_that_name(here):
    touch(here, "1")
    assert found("0", "1") == [("0", "camera"), ("1", "photo")]


def test_stdin_gives_paths_literally_whatever_their_bytes(here):
    touch(here, "a.jpg", "sub/b.jpg")
    lines = b"a.jpg\r\n\ncaf\xe9.jpg\nsub\n*.jpg\n0"
    names = ["a.jpg", os.fsdecode(b"caf\xe9.jpg"), "sub/b.jpg", "*.jpg", "0"]
    assert found("-", stdin=io.BytesIO(lines)) == [(name, "photo") for name in names]


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("nowhere.jpg", "does not exist"),
        ("empty", "photos or clips in"),
        ("*.jpg", "there are none"),
        ("t[x]t", "there are none"),
        ("-", "got none"),
        ("@empty.txt", "got none"),
        ("@nowhere.txt", "No such file"),
    ],
)
def test_what_is_not_there_is_an_input_that_failed(here, argument, text):
    touch(here, "empty/readme.txt")
    (here / "empty.txt").write_text("\n\n")
    (source,) = find_sources([argument], stdin=io.BytesIO(b"\n\n"))
    assert (source.name, source.kind) == (argument, "missing")
    assert source.error.startswith("expected")
    assert "; " in source.error  # what to do
    assert text in source.error


HEADS = {
    "photo": [b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF....WEBP", b"....ftypheic", b"GIF89a"],
    "clip": [b"....ftypisom", b"\0\0\1\xba", b"0&\xb2u\x8ef\xcf\x11", b"FLV\1", b"G" + b"." * 187 + b"G"],
    "": [b"a,b\n1,2\n", b"P1 name", b"BM and so on", b"....ftypM4A ", b"RIFF....WAVE", b"%PDF-1.7", b""],
}  # fmt: skip


def test_a_folder_is_searched_by_content_and_what_is_left_out_is_counted(here):
    (here / "in").mkdir()
    for kind, heads in HEADS.items():
        for i, head in enumerate(heads):
            (here / "in" / f"{kind or 'other'}{i}.dat").write_bytes(head)
    touch(here, "in/damaged.jpg", "in/damaged.mov", "in/photo.NEF", "in/notes", "in/.hidden")
    left_out = Counter()
    got = found("in", left_out=left_out)
    assert {Path(name).name: kind for name, kind in got} == {
        **{f"{kind}{i}.dat": kind for kind in ("photo", "clip") for i in range(5)},
        "damaged.jpg": "photo",
        "damaged.mov": "clip",
    }
    assert left_out == {".dat": 7, ".nef": 1, "no ending": 1}
    everything = found("in", every=True)
    assert len(everything) == len(got) + 9
    assert {kind for _, kind in everything} == {"photo", "clip", "other"}


def test_what_is_left_out_is_told_and_has_rows_when_asked(mien, here, one_face, tiny_model):
    touch(here, "in/a.txt", "in/b.txt", "in/c.md")
    (here / "in/face").write_bytes(encode_image(one_face, ".png"))
    ran = mien("analyze", "in", "-o", "t.csv", "--model", tiny_model)
    assert ran.code == 0
    assert "left out, neither picture nor clip: .txt 2, .md 1" in ran.err
    assert len(Path("t.csv").read_text().splitlines()) == 2
    ran = mien("analyze", "in", "-o", "all.csv", "--all", "--model", tiny_model)
    assert ran.code == 0
    rows = list(csv.DictReader(Path("all.csv").read_text().splitlines()))
    assert [(row["source"], row["success"]) for row in rows] == [
        ("in/a.txt", "0"), ("in/b.txt", "0"), ("in/c.md", "0"), ("in/face", "1"),
    ]  # fmt: skip
    assert mien("analyze", "in", "-o", "shards/", "--model", tiny_model).err.count(".txt 2") == 1


@pytest.mark.parametrize(
    ("encoding", "end"),
    [*product(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"], ["\n", "\r\n"]), ("utf-8", "\0")],
)
def test_lists_of_every_encoding_and_line_end(here, encoding, end):
    names = ["a b.jpg", "größe.jpg", "sub/表情.jpg"]
    touch(here, *names)
    text = end.join(["a b.jpg", '"größe.jpg"', "  sub/表情.jpg  "]) + end
    data = text.encode("utf-16-le") if encoding == "utf-16-le" else text.encode(encoding)
    (here / "list.txt").write_bytes(data)
    want = [(name, "photo") for name in names]
    assert found("@list.txt") == want
    assert found("-", stdin=io.BytesIO(data)) == want


def test_a_photo_or_a_clip_on_standard_input_is_read(here, mien, one_face, drawn_clip, tiny_model):
    for data, rows in ((encode_image(one_face, ".jpg"), 1), (drawn_clip.read_bytes(), 12)):
        ran = mien("analyze", "-", "-q", "--model", tiny_model, stdin=data)
        assert ran.code == 0, ran.err
        lines = ran.out.decode().splitlines()[1:]
        assert [line.partition(",")[0] for line in lines] == ["-"] * rows
    (source,) = find_sources(["-"], stdin=io.BytesIO(data))
    assert source.kind == "missing"
    assert source.error.startswith("expected paths")


def test_an_animated_picture_is_a_clip_when_asked(here, mien, one_face, no_face, tiny_model):
    first, *rest = [Pil.fromarray(pixels) for pixels in (one_face, no_face, one_face)]
    for kind in ("gif", "webp", "png"):
        first.save(here / f"a.{kind}", save_all=True, append_images=rest, duration=[200, 50, 70])
        first.save(here / f"still.{kind}")
    photos = mien("analyze", ".", "-o", "photos.csv", "--model", tiny_model)
    assert photos.err.count("first frame used") == 3
    assert len(Path("photos.csv").read_text().splitlines()) == 7
    assert mien("analyze", ".", "-o", "t.csv", "--animated", "--model", tiny_model).code == 0
    rows = list(csv.DictReader(Path("t.csv").read_text().splitlines()))
    for kind in ("gif", "webp", "png"):
        times = [(row["time"], row["success"]) for row in rows if row["source"] == f"a.{kind}"]
        assert times == [("0.0", "1"), ("0.2", "0"), ("0.25", "1")]
        assert [row["time"] for row in rows if row["source"] == f"still.{kind}"] == [""]


def test_the_folder_of_the_copies_is_left_out(here):
    touch(here, "a.jpg", "seen/a.jpg")
    assert found(".", leave=here / "seen") == [("a.jpg", "photo")]


# --- tar and Parquet


@pytest.fixture(scope="module")
def photos(tmp_path_factory, one_face, two_faces, no_face):
    """Five photos by name, as bytes, and in a folder."""
    folder = tmp_path_factory.mktemp("photos")
    held = {}
    for i, pixels in enumerate((one_face, two_faces, no_face, two_faces, one_face)):
        held[f"{i}.png"] = encode_image(pixels, ".png")
        (folder / f"{i}.png").write_bytes(held[f"{i}.png"])
    return folder, held


@pytest.fixture(scope="module")
def tar(photos, tmp_path_factory):
    """A tar shard: pictures with a text beside each, as WebDataset has them."""
    path = tmp_path_factory.mktemp("tar") / "shard-0.tar"
    with tarfile.open(path, "w") as file:
        for name, data in photos[1].items():
            for inside, content in ((name, data), (Path(name).stem + ".cls", b"3")):
                entry = tarfile.TarInfo(f"faces/{inside}")
                entry.size = len(content)
                file.addfile(entry, io.BytesIO(content))
    return path


def faces(mien, model, *arguments):
    """Every column of the rows but the first, the source; whole pictures are read: nothing is looked for."""
    ran = mien("analyze", *arguments, "--crops", "--model", model)
    assert ran.code == 0, ran.err
    lines = ran.out.decode().splitlines()[1:]
    return [line.partition(",")[0] for line in lines], [line.partition(",")[2] for line in lines]


@pytest.fixture(scope="module")
def expected(photos, tiny_model, tmp_path_factory):
    """What the folder gives."""
    table = tmp_path_factory.mktemp("expected") / "t.csv"
    analyze(photos[0], table, crops=True, model=tiny_model)
    return [line.partition(",")[2] for line in table.read_text().splitlines()[1:]]


def test_lists_parquet_and_tar_give_the_rows_of_the_folder(mien, photos, tar, expected, tiny_model, tmp_path):
    """A list, Parquet of paths, Parquet of bytes in several row groups with and without names, tar."""
    folder, held = photos
    (tmp_path / "list.txt").write_text("\n".join(str(folder / name) for name in held))
    pq.write_table(pa.table({"path": [str(folder / name) for name in held]}), tmp_path / "p.parquet")
    table = pa.table({"name": list(held), "bytes": list(held.values())})
    pq.write_table(table, tmp_path / "b.parquet", row_group_size=2)
    pq.write_table(table.drop(["name"]), tmp_path / "n.parquet", row_group_size=2)
    named, *sources = (tmp_path / f"{name}.parquet" for name in "pbn")
    names, rows = faces(mien, tiny_model, named, *sources, f"{tar.parent}/shard-*.tar")
    assert rows == expected * 4
    assert names[:: len(expected)] == [
        f"{folder}/0.png", f"{tmp_path}/b.parquet/0.png", f"{tmp_path}/n.parquet/0", f"{tar}/faces/0.png",
    ]  # fmt: skip
    assert faces(mien, tiny_model, f"@{tmp_path}/list.txt") == (names[: len(expected)], expected)


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.tar", b"no tar" * 200, "tar -cf"),
        ("a.tar.gz", b"\x1f\x8b" + bytes(600), "uncompressed"),
        ("a.parquet", b"no parquet", "is not Parquet"),
        ("gone.tar", None, "No such file"),
        ("other.parquet", {"face": ["a"]}, "a column `path`"),
        ("empty.parquet", {"path": pa.array([], pa.string())}, "photos or clips in"),
    ],
)
def test_what_holds_nothing_is_an_input_that_failed(tmp_path, name, content, text):
    if isinstance(content, dict):
        pq.write_table(pa.table(content), tmp_path / name)
    elif content is not None:
        (tmp_path / name).write_bytes(content)
    (source,) = find_sources([str(tmp_path / name)])
    assert source.kind == "missing"
    assert text in source.error


def test_a_tar_that_went_away_is_out_of_reach_and_one_that_changed_is_damage(photos, tmp_path):
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as file:
        file.add(photos[0] / "0.png", "0.png")
    (source,) = find_sources([str(path)])
    path.write_bytes(bytes(20_000))
    with pytest.raises(ImageError) as damage:
        source.read_picture()
    assert not is_out_of_reach(damage.value)
    path.unlink()
    with pytest.raises(ImageError, match="No such file") as lost:
        source.read_picture()
    assert is_out_of_reach(lost.value)


# --- an object store: moto's server, which speaks S3


@pytest.fixture(scope="module")
def bucket(photos, tar, drawn_clip):
    """s3://faces with the photos in a folder, the tar and a clip, at a server on this machine."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for key, value in {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            patch.setenv(key, value)
        client = boto3.client("s3")
        client.create_bucket(Bucket="faces")
        for name, data in photos[1].items():
            client.put_object(Bucket="faces", Key=f"in/more/{name}", Body=data)
        for key in ("in/notes.txt", "in/.hidden.png"):
            client.put_object(Bucket="faces", Key=key, Body=b"no picture")
        client.put_object(Bucket="faces", Key="shard.tar", Body=tar.read_bytes())
        client.put_object(Bucket="faces", Key="clip.mp4", Body=drawn_clip.read_bytes())
        yield server
        client.close()
    server.stop()
    stores._load_system.cache_clear()


def test_objects_below_a_prefix_in_order(bucket):
    assert [(s.name, s.inside) for s in find_sources(["s3://faces/in/"])] == [
        (f"s3://faces/in/more/{i}.png", f"more/{i}.png") for i in range(5)
    ]
    assert [s.inside for s in find_sources(["s3://faces/in/more/3.png"])] == ["3.png"]


def test_objects_give_the_rows_of_the_files(mien, bucket, expected, drawn_clip, tiny_model):
    """A prefix, a tar and a clip in a store; the clip itself after them."""
    sources = ("s3://faces/in/", "s3://faces/shard.tar", "s3://faces/clip.mp4", drawn_clip)
    names, rows = faces(mien, tiny_model, *sources)
    photos, clips = rows[: 2 * len(expected)], rows[2 * len(expected) :]
    assert photos == expected * 2
    assert clips[:12] == clips[12:]
    assert set(names[-24:]) == {"s3://faces/clip.mp4", str(drawn_clip)}


def test_an_object_that_is_not_there(bucket):
    (source,) = find_sources(["s3://faces/none/"])
    assert source.kind == "missing"
    assert "s3://faces/none/" in source.error
    with pytest.raises(ImageError) as lost:
        Source("s3://faces/gone.png", "photo").read_picture()
    assert is_out_of_reach(lost.value)


def test_a_store_that_is_away_is_tried_again_and_then_lost(bucket, photos, monkeypatch):
    calls = []

    def away(address, start=None, end=None):
        calls.append(address)
        if len(calls) < 3:
            raise OSError(errno.ETIMEDOUT, "timed out")
        return photos[1]["0.png"]

    monkeypatch.setattr(sources, "PAUSES", (0, 0, 0))
    monkeypatch.setattr(sources, "read_object", away)
    assert Source("s3://faces/x.png", "photo").read_picture().pixels.shape == (240, 320, 3)
    assert len(calls) == 3
    monkeypatch.setattr(
        sources, "read_object", lambda *_: (_ for _ in ()).throw(OSError(errno.EIO, "broken"))
    )
    with pytest.raises(ImageError, match="broken") as lost:
        Source("s3://faces/x.png", "photo").read_picture()
    assert is_out_of_reach(lost.value)
