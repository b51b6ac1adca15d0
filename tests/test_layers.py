"""Imports go down the ladder of docs/architecture.md, and the reading half never loads torch."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "mien"

#: From the lowest rung up: a room imports its own files and those of lower rungs.
LADDER = [
    {"errors", "_version"},
    {"labels", "files"},
    {"config"},
    {"types"},
    {"image", "models"},
    {"card"},
    {"faces", "data", "nets"},
    {"video"},
    {"analyzer", "results"},
    {"evaluate", "batch"},
    {"train"},
    {"paper", "server"},
    {"cli"},
    {"__main__"},
]
HEAVY = {"torch", "tensorflow", "pandas", "matplotlib", "cv2", "sklearn", "pyarrow", "jinja2", "onnx"}
MAY_TORCH = {"nets", "train", "paper"}


def rank(room):
    return next(i for i, layer in enumerate(LADDER) if room in layer)


def imports(path):
    """(module, at the top level of the file) for every import in it."""
    tree = ast.parse(path.read_text())
    inside = {
        id(n)
        for f in ast.walk(tree)
        if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef)
        for n in ast.walk(f)
    }
    typing_only = {
        id(n)
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and "TYPE_CHECKING" in ast.unparse(branch.test)
        for n in ast.walk(branch)
    }
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports in full"
            bare = node.module == "mien"
            names = [f"mien.{a.name}" for a in node.names] if bare else [node.module]
        for name in names:
            yield name, id(node) not in inside and id(node) not in typing_only


def files():
    return [p for p in sorted(SOURCE.rglob("*.py")) if p != SOURCE / "__init__.py"]


def room_of(path):
    first = path.relative_to(SOURCE).parts[0]
    return first.removesuffix(".py")


def faults(path):
    room = room_of(path)
    for name, _ in imports(path):
        if not name.startswith("mien."):
            continue
        other = name.split(".")[1]
        if other in (room, "__version__"):
            continue
        if rank(other) >= rank(room):
            yield f"{path.relative_to(SOURCE)} ({room}) imports {name}"


def test_every_room_stands_on_the_ladder():
    rooms = {room_of(p) for p in files()}
    assert rooms <= set().union(*LADDER), f"give these a layer: {rooms - set().union(*LADDER)}"


def test_imports_only_go_down():
    assert [f for path in files() for f in faults(path)] == []


def test_the_walk_sees_an_upward_import(tmp_path, monkeypatch):
    bad = tmp_path / "image.py"
    bad.write_text("def f():\n    from mien.video.frames import Video\n")
    monkeypatch.setattr(sys.modules[__name__], "SOURCE", tmp_path)
    assert len(list(faults(bad))) == 1


def test_heavy_packages_are_imported_where_they_belong():
    wrong = [
        f"{path.relative_to(SOURCE)}: {name}"
        for path in files()
        for name, top in imports(path)
        if top and name.split(".")[0] in HEAVY and room_of(path) not in MAY_TORCH
    ]
    assert wrong == []


@pytest.mark.parametrize("package", sorted(HEAVY))
def test_reading_a_photo_loads_nothing_heavy(package, loaded):
    assert package not in loaded


@pytest.fixture(scope="module")
def loaded():
    code = (
        "import sys\nimport mien\nlight = set(sys.modules)\nimport numpy as np\n"
        "assert not {'numpy', 'onnxruntime', 'PIL'} & light, 'import mien must stay light'\n"
        "mien.load().image(np.zeros((64, 64, 3), np.uint8))\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return set(run.stdout.split())
