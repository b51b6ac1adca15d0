"""The shape of the package, as docs/architecture.md states it: ladder, sizes, circles, doubled names."""

import ast
import os
import re
import subprocess
import sys
from collections import Counter
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from PIL import Image

from makers import scene

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "mien"
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()

#: From the lowest rung up: a room imports its own files and those of lower rungs.
LADDER = [
    {"errors", "_version"},
    {"labels", "files"},
    {"config"},
    {"pixels", "media"},
    {"units"},
    {"image", "models"},
    {"types"},
    {"card"},
    {"faces", "data", "nets"},
    {"video"},
    {"analyzer", "results"},
    {"evaluate", "batch", "doctor"},
    {"train"},
    {"paper", "server"},
    {"cli"},
    {"__main__"},
]
#: Packages that reading a photo must not load, nor any file at its top level, except in the rooms that learn.
HEAVY = {"torch", "tensorflow", "pandas", "matplotlib", "cv2", "sklearn", "pyarrow", "jinja2", "onnx"}
LEARNING = {"nets", "train", "paper"}
SUBCLASS = SOURCE / "batch" / "features.py"  # of a class of scikit-learn; nothing in Mien imports it


def module_name(path):
    return ".".join(("mien", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")


def room_of(path):
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def source_files():
    return [path for path in sorted(SOURCE.rglob("*.py")) if path != SOURCE / "__init__.py"]


@cache
def parsed(path):
    return ast.parse(path.read_text())


@cache
def imports(path):
    """(module or module.name, whether it stands at the top level) for each import, those in functions too."""
    found = []

    def visit(node, top):
        if isinstance(node, ast.Import):
            found.extend((alias.name, top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports in full"
            found.extend((f"{node.module}.{alias.name}", top) for alias in node.names)
        elif isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case | ast.Module):
            later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            later = later or (isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test))
            for child in ast.iter_child_nodes(node):
                visit(child, top and not later)

    visit(parsed(path), True)
    return found


def upward_imports(path):
    room = room_of(path)
    rank = {name: i for i, rung in enumerate(LADDER) for name in rung}
    for name, _ in imports(path):
        other = name.split(".")[1] if name.startswith("mien.") else room
        if other not in (room, "__version__") and rank.get(other, -1) >= rank[room]:
            yield f"{path.relative_to(SOURCE)} imports {name}"


def file_graph(paths):
    """Each module with the modules of the package that it imports, wherever in the file."""
    known = {module_name(path) for path in paths}
    graph = {}
    for path in paths:
        wanted = {name if name in known else name.rpartition(".")[0] for name, _ in imports(path)}
        graph[module_name(path)] = (wanted & known) - {module_name(path)}
    return graph


def find_circle(graph):
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return None


def test_every_room_stands_on_the_ladder():
    assert {room_of(path) for path in source_files()} <= set().union(*LADDER)


def test_imports_only_go_down():
    assert [fault for path in source_files() for fault in upward_imports(path)] == []


def test_an_upward_import_within_a_function_is_seen(tmp_path, monkeypatch):
    bad = tmp_path / "image.py"
    bad.write_text("def f():\n    from mien.video.frames import Video\n")
    monkeypatch.setattr(sys.modules[__name__], "SOURCE", tmp_path)
    assert len(list(upward_imports(bad))) == 1


def test_no_files_import_each_other_in_a_circle():
    assert find_circle(file_graph(source_files())) is None


def test_a_circle_within_functions_is_seen(tmp_path, monkeypatch):
    for name, other in (("a", "b"), ("b", "c"), ("c", "a")):
        (tmp_path / f"{name}.py").write_text(f"def f():\n    from mien.{other} import f\n")
    monkeypatch.setattr(sys.modules[__name__], "SOURCE", tmp_path)
    assert set(find_circle(file_graph(source_files()))) == {"mien.a", "mien.b", "mien.c"}


def test_no_public_class_name_stands_twice():
    names = Counter(
        node.name
        for path in source_files()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_each_room_keeps_the_line_budget_of_the_architecture_page():
    budgets = {
        room: int(lines)
        for room, lines in re.findall(r"^\| `([\w ]+)/?` \| (\d+) \|", ARCHITECTURE, re.MULTILINE)
    }
    lines = Counter()
    for path in SOURCE.rglob("*.py"):
        room = path.relative_to(SOURCE).parts[0] if path.parent != SOURCE else "top level"
        lines[room] += len(path.read_text().splitlines())
    assert set(lines) == set(budgets)
    over = {room: count for room, count in lines.items() if count > budgets[room]}
    assert over == {}, f"over the budget that docs/architecture.md states: {over}"


def test_heavy_packages_are_imported_where_they_belong():
    wrong = [
        f"{path.relative_to(SOURCE)}: {name}"
        for path in source_files()
        for name, top in imports(path)
        if top and name.split(".")[0] in HEAVY and room_of(path) not in LEARNING and path != SUBCLASS
    ]
    assert wrong == []


#: Where ONNX Runtime's reports are off by themselves, a test would see nothing.
ELSEWHERE = ("CI", "GITHUB_", "GITLAB_", "TF_BUILD", "JENKINS", "BUILD", "ORT_", "XDG_", "PYTEST_")
#: A fresh process, which imports Mien, asks for help and reads a photo.
FRESH = """
import os, sys
before = dict(os.environ)
import mien
from mien.cli import main
assert dict(os.environ) == before, "import mien must set no environment variable"
for sys.argv in (["mien", "--help"], ["mien", "analyze", "--quiet", sys.argv[1]]):
    try: main()
    except SystemExit as end: print(end.code, *sys.modules, file=sys.stderr)
"""


def test_a_photo_is_read_with_little_loaded_and_nothing_left_behind(tmp_path):
    """Seconds are measured in benchmarks/speed.py; here is what they depend on. Nor does ONNX Runtime report
    how it is used: its reporting writes an identifier of the machine to the home folder as it starts."""
    home, photo = tmp_path / "home", tmp_path / "photo.png"
    home.mkdir()
    Image.fromarray(scene((60, 40, 160))).save(photo)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ELSEWHERE)}
    run = subprocess.run(
        [sys.executable, "-c", FRESH, str(photo)], env={**kept, "HOME": str(home)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    after_help, after_photo = (line.split() for line in run.stderr.splitlines()[:2])
    assert (after_help[0], after_photo[0]) == ("0", "0")
    light = {"numpy", "onnxruntime", "PIL", "av", "torch", "jinja2", "mien.analyzer"}
    assert light & set(after_help) == set()
    heavy = {"av", "mien.video.frames", "multiprocessing.context", "rich.progress", "fastapi", "uvicorn"}
    assert (HEAVY | heavy) & set(after_photo) == set()
    assert ",happiness" in run.stdout
    assert list(home.rglob("*")) == []
