"""What runs the classifier."""

import sys
from pathlib import Path

import numpy as np
import pytest

import mien
from mien.errors import ConfigError, MissingExtra
from mien.faces.classify import Classifier


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("name", "least"), [("compact", 1e-5), ("compact-int8", 1e-2)])
def test_openvino_gives_the_numbers_of_onnx_runtime(name, least, threads):
    pytest.importorskip("openvino", reason="not installed: pip install 'mien[openvino]'")
    faces = np.random.default_rng(0).integers(0, 256, (70, 48, 48), np.uint8)
    want = Classifier.load(Path(name), threads=threads)(faces)
    found = Classifier.load(Path(name), threads=threads, runtime="openvino")(faces)
    assert found.shape == want.shape
    assert np.abs(found - want).mean() < least  # 8 bits are rounded in other places


def test_the_command_takes_a_runtime(mien, one_face, tmp_path):
    pytest.importorskip("openvino", reason="not installed: pip install 'mien[openvino]'")
    from PIL import Image

    Image.fromarray(one_face).save(tmp_path / "a.png")
    ran = mien("analyze", tmp_path / "a.png", "--runtime", "openvino", "-o", tmp_path / "a.csv")
    assert ran.code == 0, ran.err
    assert (tmp_path / "a.csv").read_text().count("\n") == 2


def test_an_unknown_runtime_lists_the_known():
    with pytest.raises(ConfigError, match="expected one of onnxruntime, openvino, got 'tensorrt'"):
        mien.load(runtime="tensorrt")


def test_a_runtime_that_is_not_installed_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtra, match=r"pip install 'mien\[openvino\]'"):
        mien.load(runtime="openvino")
