"""Nothing is sent anywhere: what Mien runs on is kept from reporting how it is used."""

import os
import subprocess
import sys

import pytest
from PIL import Image

from test_layers import ELSEWHERE


@pytest.mark.slow  # tests/test_layers.py looks after a photo that was read
@pytest.mark.parametrize(
    "first",
    [
        "import mien.faces.network",
        "import mien.train.quantize",  # it loads PyTorch for seconds
    ],
)
def test_onnx_runtime_leaves_no_identifier_of_this_machine(first, one_face, tmp_path):
    """Its reporting writes one to the home folder as it starts, on Linux and macOS."""
    if "train" in first:
        pytest.importorskip("onnx", reason="the learning half is not installed")
    home, photo = tmp_path / "home", tmp_path / "photo.png"
    home.mkdir()
    Image.fromarray(one_face).save(photo)
    code = f"{first}; import mien, sys; print(len(mien.load().image(sys.argv[1]).faces))"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ELSEWHERE)}
    run = subprocess.run(
        [sys.executable, "-c", code, str(photo)], env={**kept, "HOME": str(home)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout == "1\n"
    assert list(home.rglob("*")) == []
