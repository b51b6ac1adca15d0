"""`--engine ray`: the files that the local engine writes, and errors that say what to do."""

import sys

import pytest

from mien.batch.run import analyze
from mien.batch.shards import Plan
from mien.errors import MienError, MissingExtra
from mien.image import write_image

# Ray warns of its own settings while it sets them, and leaves files open for its processes.
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture
def _ray():
    pytest.importorskip("ray.data", reason="needs the extra scale")


@pytest.fixture(scope="module")
def photos(tmp_path_factory, one_face, two_faces):
    folder = tmp_path_factory.mktemp("photos")
    for i in range(8):
        write_image(folder / f"{i}.png", (one_face, two_faces)[i % 2])
    (folder / "5.png").write_bytes(b"no picture")
    return folder


@pytest.mark.slow
@pytest.mark.usefixtures("_ray", "worker_processes")
def test_ray_writes_the_files_of_the_local_engine(mien, photos, tiny_model, tmp_path):
    """And goes on where another run stopped, and reads again what failed."""
    written = []
    for engine in ("local", "ray"):
        out = tmp_path / engine
        again = ("analyze", photos, "-o", f"{out}/", "--shard", "3", "--model", tiny_model)
        ran = mien(*again, "--workers", "2", "--engine", engine)
        assert ran.code == 1
        assert "8 inputs, 7 frames, 10 faces" in ran.err
        assert "mien: error: expected a picture" in ran.err
        written.append({path.name: path.read_bytes() for path in sorted(out.iterdir())})
    assert written[0] == written[1]
    (out / "part-00001.parquet").unlink()
    ran = mien(*again, "--engine", "ray", "--workers", "1")
    assert "3 inputs, 2 frames, 3 faces" in ran.err
    ran = mien(*again, "--engine", "ray", "--workers", "1", "--retry")
    assert "1 input, 0 frames, 0 faces" in ran.err
    assert {path.name: path.read_bytes() for path in sorted(out.iterdir())} == written[0]


@pytest.mark.slow
@pytest.mark.usefixtures("_ray")
def test_what_ends_a_run_on_ray_is_said_as_it_is_here(photos, tiny_model, tmp_path):
    (tmp_path / "list").write_text("\n".join(str(photos / f"{i}.gone.png") for i in range(4)))
    with pytest.raises(MienError, match="2 inputs in a row could not be"):
        analyze(f"@{tmp_path}/list", f"{tmp_path}/out/", model=tiny_model, shard=4, workers=1, engine="ray",
                max_lost=2)  # fmt: skip
    assert Plan(tmp_path / "out").missing() == [0]


def test_ray_that_is_missing_names_the_extra(photos, tiny_model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mien\[scale\]'"):
        analyze(photos, f"{tmp_path}/out/", model=tiny_model, workers=1, engine="ray")
