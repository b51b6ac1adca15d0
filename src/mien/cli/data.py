"""`mien data`: draw the toy corpus, or look at what a corpus holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mien.cli.options import Seed, argument, flag, option

if TYPE_CHECKING:
    from mien.data.corpus import Corpus

app = typer.Typer(help="Draw the toy corpus; show what a corpus contains.", no_args_is_help=True)

_MAX_VALUES = 12  # of a tag, that are counted one by one


@app.command()
def toy(
    folder: Annotated[Path, argument("FOLDER", "A new or empty folder.")],
    models: Annotated[int, option("N", "Number of different people.", min=1, max=999)] = 67,
    frontal: Annotated[bool, flag("--frontal", "Draw frontal views only (camera 090, one of five).")] = False,
    size: Annotated[int, option("PX", "Width and height of each picture, in pixels.", min=16, max=1024)] = 96,
    seed: Seed = 0,
) -> None:
    """Draw a corpus of simple faces, with the file names of the Radboud Faces Database.

    The default is 8040 pictures and takes half a minute.
    """
    from mien.data.toy import ToySettings, write_toy

    count = write_toy(folder, ToySettings(models=models, cameras=1 if frontal else 5, size=size, seed=seed))
    typer.echo(f"{folder}: {count} pictures")


@app.command()
def show(
    data: Annotated[
        str, option("NAME", "Corpus: ferplus, fer2013, rafd, ckplus, jaffe, kdef, toy, fairface or folder.")
    ],
    root: Annotated[Path, option("PATH", "Folder or zip file of the corpus.")],
) -> None:
    """Print what a corpus contains: pictures, emotions, persons, tags, and what is missing."""
    from mien.cli.progress import say
    from mien.data import SPLITS, find_reader
    from mien.errors import DataError

    reader = find_reader(data)
    corpora: list[Corpus] = []
    errors: list[DataError] = []
    # a corpus whole, from all angles; where it comes in splits, each that can be read
    for split in SPLITS if reader.splits else (None,):
        try:
            corpora.append(reader.open(root, split) if split else reader.open_whole(root))
        except DataError as error:
            errors.append(error)
    if not corpora:
        raise errors[0]
    for fault in errors:
        say(f"mien: note: {fault}")
    typer.echo("\n".join(line for corpus in corpora for line in [*describe(corpus), ""]), nl=False)


def describe(corpus: Corpus) -> list[str]:
    """The lines of a plain table."""
    from mien.data.pictures import emotion_of
    from mien.labels import EMOTIONS

    emotions = Counter(emotion_of(s) or "no label" for s in corpus.samples)
    persons = Counter(s.person for s in corpus.samples if s.person is not None)
    each = f"{min(persons.values())} to {max(persons.values())} pictures each" if persons else ""
    rows = [
        ("pictures", str(len(corpus))),
        ("emotions", _counts((e, emotions[e]) for e in (*EMOTIONS, "no label") if emotions[e])),
        ("persons", f"{len(persons)}, {each}" if persons else "not known"),
    ]
    for tag in dict.fromkeys(tag for s in corpus.samples for tag in s.tags):
        values = Counter(s.tags[tag] for s in corpus.samples if tag in s.tags)
        few = len(values) <= _MAX_VALUES
        rows.append((tag, _counts(sorted(values.items())) if few else f"{len(values)} values"))
    notes = corpus.notes or ("nothing known",)
    rows += [("missing" if i == 0 else "", note) for i, note in enumerate(notes)]
    return [corpus.name, *(f"  {name:<10}{text}" for name, text in rows)]


def _counts(items: Iterable[tuple[str, int]]) -> str:
    return ", ".join(f"{value} {count}" for value, count in items)
