"""What Mien is made of and what it opens: pinned versions, no pickle from users, networks only as shipped."""

from __future__ import annotations

import ast
import pickle
import re
import shutil
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mien.models
from mien.errors import DataError, MienError, ModelError
from mien.faces import yunet
from mien.files import load_arrays
from mien.models import MODELS, load_model

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "mien"
#: Files that may use pickle, for what our own processes tell each other.
OWN_PICKLES = {"batch/pool.py"}
PICKLING = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml"}


# --- versions


def pins():
    """Name to the pinned requirements of constraints.txt, of which one holds on each platform."""
    found: dict[str, list[Requirement]] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            pin = Requirement(line)
            assert re.fullmatch(r"==[^*,]+", str(pin.specifier)), f"{line}: expected one version"
            found.setdefault(canonicalize_name(pin.name), []).append(pin)
    return found


def asked(project):
    """The requirements of all extras, without those of Mien itself."""
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    found = [Requirement(line) for lines in lists for line in lines]
    return [requirement for requirement in found if requirement.name != "mien"]


def needed_by(requirement):
    """What an installed requirement needs here; nothing if it is not installed."""
    try:
        lines = distribution(requirement.name).requires or []
    except PackageNotFoundError:
        return []
    found = [Requirement(line) for line in lines]
    extras = requirement.extras or {""}
    return [r for r in found if r.marker is None or any(r.marker.evaluate({"extra": e}) for e in extras)]


def test_every_package_that_development_needs_is_pinned_within_what_is_asked():
    pinned = pins()
    pending = asked(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"])
    seen: set[str] = set()
    while pending:
        requirement = pending.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        name = canonicalize_name(requirement.name)
        assert name in pinned, f"{requirement}: not in constraints.txt; run: make lock"
        for pin in pinned[name]:
            if pin.marker is None or pin.marker.evaluate():
                (version,) = (one.version for one in pin.specifier)
                assert requirement.specifier.contains(version, prereleases=True), (
                    f"{requirement}, pinned: {pin}"
                )
        pending += needed_by(requirement)
    assert len(seen) > 100


# --- what is opened


def imported(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def dotted_name(node):
    """`a.b.c` of a name or an attribute; "" of anything else."""
    if isinstance(node, ast.Attribute):
        return f"{dotted_name(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def unsafe_calls(tree):
    """Calls that may run code from a file: torch.load without weights_only, np.load with allow_pickle."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = dotted_name(node.func)
            said = {word.arg: getattr(word.value, "value", None) for word in node.keywords}
            bad_load = called == "torch.load" and said.get("weights_only") is not True
            bad_array = called in ("np.load", "numpy.load") and said.get("allow_pickle", False) is not False
            if bad_load or bad_array or called in ("eval", "exec", "torch.hub.load", "torch.jit.load"):
                yield called


def unsafe(source):
    """File: what it uses that may run code from a file."""
    found = {}
    mentions = re.compile("|".join([*PICKLING, r"load\(", r"eval\(", r"exec\("]))
    for path in sorted(source.rglob("*.py")):
        if not mentions.search(text := path.read_text()):
            continue
        tree, name = ast.parse(text), path.relative_to(source).as_posix()
        uses = [*sorted(PICKLING & set(imported(tree))), *unsafe_calls(tree)]
        if uses:
            found[name] = uses
    return found


def test_nothing_that_a_user_gives_is_unpickled():
    assert {file: uses for file, uses in unsafe(SOURCE).items() if file not in OWN_PICKLES} == {}


def test_the_walk_sees_what_it_looks_for(tmp_path):
    (tmp_path / "a.py").write_text("import pickle\nimport numpy as np\nnp.load('x', allow_pickle=True)\n")
    (tmp_path / "b.py").write_text("import torch\ntorch.load('x', weights_only=False)\ntorch.load('x')\n")
    assert unsafe(tmp_path) == {"a.py": ["pickle", "np.load"], "b.py": ["torch.load", "torch.load"]}


class Trap:
    """What runs when it is unpickled: the file that it makes tells."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_checkpoint_that_would_run_code_is_refused_and_runs_none(tmp_path):
    torch = pytest.importorskip("torch", reason="needs pip install 'mien[train]'")
    from mien.train.loop import load_checkpoint

    sprung = tmp_path / "sprung"
    torch.save({"model": Trap(sprung)}, tmp_path / "bad.pt")
    with pytest.raises(MienError, match="expected a checkpoint"):
        load_checkpoint(tmp_path / "bad.pt")
    assert not sprung.exists()


def test_arrays_that_would_run_code_are_refused_and_run_none(tmp_path):
    sprung = tmp_path / "sprung"
    np.savez(tmp_path / "bad.npz", a=np.array([Trap(sprung)], dtype=object))
    with pytest.raises(DataError, match="expected arrays"):
        load_arrays(tmp_path / "bad.npz", "make them again")
    assert not sprung.exists()


@pytest.mark.parametrize("wrap", [lambda data: data, lambda data: b"\x08\x08" + data])
def test_a_model_that_is_a_pickle_is_refused_and_runs_nothing(tmp_path, wrap):
    from mien.analyzer import load

    sprung = tmp_path / "sprung"
    (tmp_path / "bad.onnx").write_bytes(wrap(pickle.dumps(Trap(sprung))))
    with pytest.raises(ModelError, match="expected an ONNX network"):
        load(tmp_path / "bad.onnx")
    assert not sprung.exists()


# --- networks that ship


@pytest.fixture(scope="module")
def altered(tmp_path_factory):
    """A copy of the shipped networks, of which a test flips a byte; `load_model` reads it."""
    folder = tmp_path_factory.mktemp("models")
    for name in MODELS:
        shutil.copy(SOURCE / "models" / f"{name}.onnx", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mien.models, "resources", SimpleNamespace(files=lambda _: folder))
        yield folder


@given(
    name=some.sampled_from(sorted(MODELS)), place=some.floats(0, 1, exclude_max=True), bit=some.integers(0, 7)
)
def test_a_shipped_network_with_a_flipped_bit_is_refused(altered, name, place, bit):
    path = altered / f"{name}.onnx"
    whole = path.read_bytes()
    assert load_model(name) == whole
    data = bytearray(whole)
    data[int(place * len(data))] ^= 1 << bit
    path.write_bytes(data)
    try:
        with pytest.raises(ModelError, match=rf"shipped model '{name}': expected sha256 {MODELS[name]}"):
            load_model(name)
    finally:
        path.write_bytes(whole)


def test_a_detector_with_a_flipped_bit_or_cut_off_is_refused(tmp_path, monkeypatch):
    data = yunet.path_of_weights().read_bytes()
    path = tmp_path / "yunet.onnx"
    monkeypatch.setattr(yunet, "path_of_weights", lambda: path)
    path.write_bytes(data)
    assert len(yunet.weights()) == len(data)
    for bad in (data[:1000] + bytes([data[1000] ^ 1]) + data[1001:], data[:-1], b""):
        path.write_bytes(bad)
        with pytest.raises(ModelError, match=r"expected .* with sha256"):
            yunet.weights()
