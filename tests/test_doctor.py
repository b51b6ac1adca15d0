"""`mien doctor`: what it tells of the install is what is installed."""

import re
from importlib import metadata

import pytest

from mien._version import __version__
from mien.doctor import examine


def test_it_tells_versions_devices_and_speed(mien, monkeypatch):
    monkeypatch.setattr("mien.doctor._SECONDS", 0.01)
    ran = mien("doctor")
    assert ran.code == 0
    text = ran.out.decode()
    lines = {line[:11].strip(): line[12:] for line in text.splitlines()}
    assert lines["mien"] == __version__
    assert f"numpy {metadata.version('numpy')}" in lines["needs"]
    assert "CPUExecutionProvider" in lines["runtime"]
    speeds = re.findall(r"([\d.]+) ms", lines["speed"])
    assert len(speeds) == 2
    assert all(float(speed) > 0 for speed in speeds)
    assert "with 1 face" in lines["speed"]


def test_a_device_that_is_not_there_is_told_and_fails():
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("it is there")
    lines, works = examine(["cuda"])
    assert not works
    assert "pip install" in lines[-1]
    assert lines[0].endswith(__version__)
