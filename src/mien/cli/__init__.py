"""The command line: `mien COMMAND`, each a thin skin over a function.

Nothing heavy is imported here, so that `mien --help` answers at once.
"""

from __future__ import annotations

import errno
import os
import sys
from functools import cache
from typing import Annotated, Any

import typer

from mien._version import __version__
from mien.cli.agree import agree
from mien.cli.analyze import analyze
from mien.cli.convert import convert
from mien.cli.data import app as data
from mien.cli.doctor import doctor
from mien.cli.evaluate import evaluate
from mien.cli.methods import methods
from mien.cli.model import calibrate, card, export, quantize
from mien.cli.progress import say
from mien.cli.reproduce import reproduce
from mien.cli.review import review
from mien.cli.serve import serve
from mien.cli.summary import summary
from mien.cli.train import train
from mien.errors import ConfigError, MienError

COMMANDS = (
    analyze, convert, summary, agree, methods, train, evaluate, export, quantize, calibrate, card, reproduce,
    review, serve, doctor,
)  # fmt: skip


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"mien {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option("--version", metavar="", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Read the expression shown on faces in photos and videos; train and evaluate the networks for it."""


@cache
def _make_app(*commands: Any) -> typer.Typer:
    """The command line with these commands."""
    made = typer.Typer(name="mien", no_args_is_help=True, pretty_exceptions_enable=False)
    for command in commands:
        made.command()(command)
    made.callback()(_options)
    return made


app = _make_app(*COMMANDS)
app.add_typer(data, name="data")


def main() -> None:
    """Run the command line; exits 0 when all went well, 1 after an error, 2 on misuse, 130 on Ctrl-C.

    Typer itself ends quietly on Ctrl-C and when the reader of a pipe has had enough (`| head`).
    """
    asked = [command for command in COMMANDS if command.__name__ in sys.argv[1:2]]
    try:
        (_make_app(*asked) if asked else app)()  # with all commands it starts a tenth of a second later
    except MienError as error:
        say(f"mien: error: {error}")
        _let_go_of_stdout()
        sys.exit(2 if isinstance(error, ConfigError) else 1)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}:
            raise
        say(f"mien: error: standard output: writing broke off ({error.strerror}); make room and start again")
        _let_go_of_stdout()
        sys.exit(1)


def _let_go_of_stdout() -> None:
    """Where standard output takes no more (a full disk), the exit must not try it again."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
