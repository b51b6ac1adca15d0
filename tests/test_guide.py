"""The commands and Python examples of the README and the guide run, on drawn files of the names they use."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from PIL import Image
from typer.main import get_command

from makers import draw_bands, write_clip, write_ferplus
from mien._version import __version__
from mien.cli import app

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
#: What sets up or tests the project itself, which a test cannot do inside itself, and the server, which does
#: not end (tests/server starts it).
NOT_HERE = ("make ", "pip install", "mien serve")


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", page.read_text(), re.DOTALL)


def shell_lines(page):
    return [line for block in blocks(page, "sh") for line in block.splitlines() if line.strip()]


def commands():
    """The commands of each page in order; what one writes, the next may read. Only the README's are fast."""
    for page in PAGES:
        if run := [line for line in shell_lines(page) if not line.startswith(NOT_HERE)]:
            yield pytest.param(run, id=page.name, marks=() if page == PAGES[0] else pytest.mark.slow)


def examples():
    return [
        pytest.param(code, id=f"{page.name}-{i}")
        for page in PAGES
        for i, code in enumerate(blocks(page, "python"))
    ]


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, one_face, drawn_clip):
    """photo.jpg, clip.mp4, photos/, crops/, labelled/, study/, codes, a design, small ferplus.zip: drawn."""
    tmp_path = tmp_path_factory.mktemp("drawn")
    Image.fromarray(one_face).save(tmp_path / "photo.jpg")
    shutil.copy(drawn_clip, tmp_path / "clip.mp4")
    crop = one_face[40:200, 60:220]
    pictures = {"photos/a.jpg": one_face, "photos/deep/b.jpg": one_face, "crops/a.png": crop,
                "labelled/happy/a.png": crop, "labelled/sad/b.png": crop}  # fmt: skip
    for name, pixels in pictures.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / name)
    (tmp_path / "study").mkdir()
    short = write_clip(tmp_path / "short.mp4", [one_face] * 4)
    for person in ("ann", "bob"):
        for condition in ("rest", "film"):
            shutil.copy(short, tmp_path / "study" / f"{person}_{condition}_1.mp4")
    (tmp_path / "design.csv").write_text(
        "source,track,start,end,person,condition\n"
        "clip.mp4,1,,,ann,\nclip.mp4,,0,0.5,,rest\nclip.mp4,,0.5,,,film\n"
    )
    write_ferplus(tmp_path / "ferplus.zip", draw_bands(256, 5), draw_bands(32, 6))
    for coder, end in (("anna", 0.6), ("bert", 0.5)):
        lines = ("source,start,end,code", f"clip.mp4,0,{end},happiness", f"clip.mp4,{end},1,neutral")
        (tmp_path / f"{coder}.csv").write_text("\n".join(lines))
    return tmp_path


@pytest.fixture
def folder(drawn, tmp_path):
    """A copy of them."""
    return shutil.copytree(drawn, tmp_path, dirs_exist_ok=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_are_ones_that_mien_takes(page):
    """Its words and options, nothing being run."""
    mien = get_command(app)
    for part in (part.strip() for line in shell_lines(page) for part in line.split("|")):
        command, words = mien, shlex.split(part, comments=True)
        if words and words.pop(0) == "mien":
            while commands := getattr(command, "commands", None):
                command = commands[words.pop(0)]
            command.make_context("mien", words)


@pytest.mark.parametrize("lines", list(commands()))
def test_the_commands_of_a_page_run(lines, folder, mien, monkeypatch):
    if any("mien train" in line for line in lines):
        pytest.importorskip("torch", reason="the learning half is not installed")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr("mien.doctor._SECONDS", 0.01)
    for line in lines:
        if "|" in line:  # it is written for a shell
            run = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)  # noqa: S602
            code, said = run.returncode, run.stderr
        else:
            more = ["--epochs", "1"] if line.startswith("mien train") else []
            run = mien(*shlex.split(line)[1:], *more)
            code, said = run.code, run.err
        assert code == 0, f"{line}\n{said}"


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # an example may leave a file to be closed for it
@pytest.mark.parametrize("code", examples())
def test_a_python_example_runs(code, folder, monkeypatch):
    monkeypatch.chdir(folder)
    if "__main__" not in code:
        exec(code.replace(", workers=2", ", workers=1"), {})  # noqa: S102 - it is our own
        return
    Path("example.py").write_text(code)
    run = subprocess.run([sys.executable, "example.py"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
LEARNING = {"own_pictures.ipynb", "paper.ipynb"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
@pytest.mark.timeout(1800)
def test_a_notebook_runs_and_shows_what_it_gave(path, tmp_path, monkeypatch):
    if path.name in LEARNING:
        pytest.importorskip("torch", reason="the learning half is not installed")
    cells = [c for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in cells), "make notebooks"
    assert not [o for cell in cells for o in cell["outputs"] if o["output_type"] == "error"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    names = {"shell": lambda line: subprocess.run(shlex.split(line), check=True)}
    for cell in cells:  # a line that begins with ! is for the shell
        exec(re.sub(r"^!(.*)$", r'shell(f"\1")', "".join(cell["source"]), flags=re.MULTILINE), names)  # noqa: S102


def links_to_code():
    for page in PAGES:
        for name, path, line in re.findall(
            r"\[`([\w.]+)`\]\(\.\./(src/[\w/]+\.py)#L(\d+)\)", page.read_text()
        ):
            yield pytest.param(ROOT / path, name.split(".")[-1], int(line), id=f"{page.stem}-{name}")


@pytest.mark.parametrize(("path", "name", "line"), list(links_to_code()))
def test_a_link_to_code_leads_to_the_line_that_defines_it(path, name, line):
    there = path.read_text().splitlines()[line - 1]
    assert re.match(rf"\s*(class|def) {name}\b", there), "run `make refresh`"


@pytest.mark.parametrize("page", [*PAGES, ROOT / "benchmarks" / "README.md"], ids=lambda page: page.name)
def test_links_lead_to_files_that_are_there(page):
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_target_that_the_readme_names_is_in_the_makefile():
    named = re.findall(r"^make (\S+)", "\n".join(blocks(PAGES[0], "sh")), re.MULTILINE)
    assert {"test", "check", "docs", "bench"} <= set(named)
    makefile = (ROOT / "Makefile").read_text()
    assert [t for t in named if not re.search(rf"^{t}:", makefile, re.MULTILINE)] == []


def test_what_is_cited_and_licensed_is_what_is_released():
    cited = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.+)$", cited, re.MULTILINE)[1] == __version__
    packaged = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "version" in packaged["dynamic"]
    assert [name for name in packaged["license-files"] if not (ROOT / name).is_file()] == []
    assert (ROOT / "web/public/licences.txt").read_text() == (
        ROOT / "src/mien/server/static/licences.txt"
    ).read_text()
