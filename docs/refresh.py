"""What in the guide follows from the code: lines that it links to, and the picture of the paper's network.

`make refresh` writes both anew. For the site, `mkdocs` calls `on_page_markdown`, which turns the links into
ones to the reference, since the sources are not part of the site.
"""

import ast
import re
import sys
from pathlib import Path

DOCS = Path(__file__).parent
#: [`name`](../src/mien/file.py#L12), a class or function of that file, or a method as `Class.method`.
LINK = re.compile(r"\[`([\w.]+)`\]\(\.\./src/(mien/[\w/]+)\.py(?:#L\d+)?\)")


def line_of(module: str, name: str) -> int:
    """The line of a class, function or method; ValueError if `src/MODULE.py` has none of that name."""
    body = ast.parse((DOCS.parent / "src" / f"{module}.py").read_text(encoding="utf-8")).body
    found = None
    for part in name.split("."):
        kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        found = next((node for node in body if isinstance(node, kinds) and node.name == part), None)
        if found is None:
            raise ValueError(f"the guide links to {name} in src/{module}.py, which has none: change the link")
        body = found.body
    return found.lineno


def number_lines(text: str) -> str:
    """A page with the line of each link to the code as it is now."""
    return LINK.sub(lambda m: f"[`{m[1]}`](../src/{m[2]}.py#L{line_of(m[2], m[1])})", text)


def on_page_markdown(markdown: str, **_: object) -> str:
    """A page for the site."""
    return LINK.sub(lambda m: f"[`{m[1]}`](reference/paper.md#{m[2].replace('/', '.')}.{m[1]})", markdown)


def on_page_content(html: str, **_: object) -> str:
    """`[OPTIONS] [MODEL]` in the usage of a command is no link."""
    return re.sub(r'<autoref[^>]* identifier="([^"]*)"[^>]*>OPTIONS</autoref>', r"[OPTIONS] [\1]", html)


def draw() -> str:
    """The network of the paper's first variant."""
    from mien.paper.diagram import draw_network
    from mien.paper.variants import VARIANTS

    return draw_network(VARIANTS["paper-300"], alone=True)


def main() -> None:
    """Rewrite the pages and the picture."""
    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        if (numbered := number_lines(text)) != text:
            page.write_text(numbered, encoding="utf-8")
    (DOCS / "network.svg").write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
