"""Every command of the README runs, in order, on drawn files under the names it uses."""

import io
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
#: Lines that set up or test the project itself, which a test cannot do inside itself, and the server, which
#: does not end (test_server starts it).
NOT_HERE = ("git clone", "make ", "pip install", "mien serve")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands():
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.strip()]
    return [line for line in lines if not line.startswith(NOT_HERE)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, one_face, drawn_clip):
    """photo.jpg, clip.mp4, photos/, crops/, labelled/ and a small ferplus.zip, all drawn."""
    root = tmp_path_factory.mktemp("readme")
    Image.fromarray(one_face).save(root / "photo.jpg")
    shutil.copy(drawn_clip, root / "clip.mp4")
    for name in (
        "photos/a.jpg",
        "photos/deep/b.jpg",
        "crops/a.png",
        "labelled/happy/a.png",
        "labelled/sad/b.png",
    ):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(one_face[40:200, 60:220] if "photos" not in name else one_face).save(root / name)
    write_ferplus(root / "ferplus.zip")
    return root


def write_ferplus(path):
    """FER+'s official layout with 256 faces to learn from and 32 to judge."""
    draw = np.random.default_rng(5)
    with zipfile.ZipFile(path, "w") as archive:
        for split, count in (("FER2013Train", 256), ("FER2013Valid", 32)):
            rows = []
            for i in range(count):
                name, kind = f"fer{i:07d}.png", i % 8
                pixels = draw.integers(0, 120, (48, 48), np.uint8)
                pixels[kind * 6 : kind * 6 + 4] = 250
                png = io.BytesIO()
                Image.fromarray(pixels).save(png, "PNG")
                archive.writestr(f"ferplus/{split}/{name}", png.getvalue())
                votes = ["8" if k == kind else "0" for k in range(8)]
                rows.append(f'{name},"(0, 0, 48, 48)",{",".join(votes)},1,1')
            archive.writestr(f"ferplus/{split}/label.csv", "\n".join(rows) + "\n")


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_readme_runs(command, folder):
    if "mien train" in command or "mien export" in command or "mine.onnx" in command:
        pytest.importorskip("torch", reason="the learning half is not installed")
    if command.startswith("mien train"):
        command += " --epochs 1"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    run = subprocess.run(  # noqa: S602  the README is written for a shell
        command, shell=True, cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr


def test_the_python_of_the_readme_runs(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (code,) = blocks("python")
    exec(compile(code, "README.md", "exec"), {})  # noqa: S102  the very code that a reader copies
    assert capsys.readouterr().out.count("\n") > 1


def test_the_readme_links_to_files_that_are_there():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_target_that_the_readme_names_is_in_the_makefile():
    named = re.findall(r"^make (\S+)", "\n".join(blocks("sh")), re.MULTILINE)
    assert {"demo", "test", "check", "bench"} <= set(named)
    makefile = (ROOT / "Makefile").read_text()
    assert [t for t in named if not re.search(rf"^{t}:", makefile, re.MULTILINE)] == []
