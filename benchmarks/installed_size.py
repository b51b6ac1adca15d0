"""What an install weighs, package by package: `python benchmarks/installed_size.py [--extra NAME]...`.

Makes a fresh virtual environment, installs Mien into it (a wheel, not a link) and adds up the files of
every package in it, compiled bytecode included. `--python` measures an environment that is there already.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
#: Run by the environment's own interpreter, which knows where its packages are.
PROBE = r"""
import json, re
from importlib import metadata

def name(text):
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", text).group()).lower()

def wanted(dist):
    return sorted({name(r) for r in dist.requires or () if "extra ==" not in r})

def weight(dist):
    files = {p.resolve() for f in dist.files or () if (p := dist.locate_file(f)).is_file()}
    return sum(path.stat().st_size for path in files)

dists = list(metadata.distributions())
print(json.dumps([
    {"name": name(d.name), "version": d.version, "bytes": weight(d), "wants": wanted(d)} for d in dists
]))
"""
TOOLS = {"pip", "setuptools", "wheel"}  # not Mien's, unless something in there asks for them


def packages(python: str) -> list[dict[str, Any]]:
    """Every package of an environment, the heaviest first, with those that ask for it."""
    run = subprocess.run([python, "-I", "-c", PROBE], capture_output=True, text=True, check=True)
    found = json.loads(run.stdout)
    for package in found:
        package["for"] = sorted(p["name"] for p in found if package["name"] in p["wants"])
    kept = [p for p in found if p["name"] not in TOOLS or p["for"]]
    return sorted(kept, key=lambda p: -p["bytes"])


def fresh(folder: Path, extras: list[str]) -> str:
    """The interpreter of a new environment with Mien and the extras."""
    source = folder / "source"  # a build in the tree itself would take in, and leave, a stale build/
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
        shutil.copy(ROOT / name, source)
    venv.create(folder / "venv", with_pip=True)
    python = str(folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python")
    what = f"{source}[{','.join(extras)}]" if extras else str(source)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, what, "-c", str(ROOT / "constraints.txt")], check=True)
    return python


def table(found: list[dict[str, Any]]) -> str:
    """Markdown."""
    lines = ["| package | version | MB | asked for by |", "|---|---|---:|---|"]
    lines += [
        f"| {p['name']} | {p['version']} | {p['bytes'] / 1e6:.1f} | {', '.join(p['for'])} |" for p in found
    ]
    total = sum(p["bytes"] for p in found) / 1e6
    return "\n".join([*lines, f"| **{len(found)} packages** | | **{total:.1f}** | |"])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--extra", action="append", default=[], help="an extra of Mien's to install as well")
    parser.add_argument("--python", help="interpreter of an environment to measure as it is")
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = packages(options.python or fresh(Path(folder), options.extra))
    print(table(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
