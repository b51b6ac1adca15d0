"""Install what `make dist` built from nothing on each Python that is there, and read a face with it.

    python benchmarks/dist.py python3.11 python3.12 python3.13 python3.14

The wheel is tried on all of them, the sdist on the first. Everything happens in a temporary folder.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
#: Licences that have to be in the wheel: of Mien, of the detector's weights, of the page's libraries.
LICENCES = ("LICENSE", "NOTICE", "src/mien/models/yunet-licence.txt", "src/mien/server/static/licences.txt")


def main() -> None:
    """Try each, print a line of each; exits 1 if one fails or none was there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("pythons", nargs="+", help="names or paths of interpreters")
    parser.add_argument("--dist", type=Path, default=ROOT / "dist", help="folder of the wheel and the sdist")
    asked = parser.parse_args()
    (wheel,), (sdist,) = asked.dist.glob("mien-*.whl"), asked.dist.glob("mien-*.tar.gz")
    version = check_wheel(wheel)
    print(
        f"{wheel.name} {wheel.stat().st_size / 1e6:.1f} MB, {sdist.name} {sdist.stat().st_size / 1e6:.1f} MB"
    )
    tried = 0
    for python in asked.pythons:
        try:
            run(python, "-c", "import ensurepip", cwd=asked.dist)
        except (OSError, subprocess.CalledProcessError):
            print(f"{python}: not on this machine")
            continue
        for package in (wheel, sdist) if not tried else (wheel,):
            print(
                f"{python}, {package.suffix}: {try_package(python, package.absolute(), version)}", flush=True
            )
        tried += 1
    if not tried:
        sys.exit("expected at least one Python that is there")


def check_wheel(wheel: Path) -> str:
    """The version; stops unless all that names it agrees, and all licences are in the wheel."""
    version = wheel.name.split("-")[1]
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    missing = [name for name in LICENCES if f"mien-{version}.dist-info/licenses/{name}" not in inside]
    if missing:
        sys.exit(f"{wheel}: expected the licences {', '.join(missing)} in it")
    return version


def try_package(python: str, package: Path, version: str) -> str:
    """Install a package into a new environment and use it; how large that is, and how long it took."""
    with tempfile.TemporaryDirectory(prefix="mien-dist-") as name:
        folder, start = Path(name), time.monotonic()
        run(python, "-m", "venv", "env", cwd=folder)
        scripts = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
        run(scripts / "python", "-m", "pip", "install", "--quiet", package, cwd=folder)
        installed, size = (
            time.monotonic() - start,
            sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()),
        )
        mien = scripts / "mien"
        found = run(mien, "--version", cwd=folder)
        if found.split()[-1] != version:
            sys.exit(f"{package.name}: expected version {version}, got {found}")
        run(mien, "data", "toy", "toy", "--models", "1", "--frontal", "--size", "240", cwd=folder)
        run(mien, "analyze", "toy", "-o", "faces.csv", "-q", cwd=folder)
        with (folder / "faces.csv").open(encoding="utf-8") as file:
            faces = sum(row["success"] == "1" for row in csv.DictReader(file))
        inputs = json.loads((folder / "faces.csv.json").read_text(encoding="utf-8"))["counts"]["inputs"]
        run(mien, "methods", "faces.csv", cwd=folder)
        speed = next(
            line for line in run(mien, "doctor", cwd=folder).splitlines() if line.startswith("speed")
        )
        if faces != inputs:
            sys.exit(f"{package.name}: expected a face in each of {inputs} drawn pictures, got {faces}")
        told = speed.split(None, 1)[1]
        return f"installed in {installed:.0f} s, {size / 1e6:.0f} MB; {faces} faces read; {told}"


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints; it sees no other packages than its own."""
    environment = {
        name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}
    }
    ran = subprocess.run(
        [*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        print(ran.stderr, file=sys.stderr)
        ran.check_returncode()
    return ran.stdout


if __name__ == "__main__":
    main()
