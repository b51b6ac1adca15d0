"""How the options of commands are declared, and those that several commands have.

A command's options are the parameters of its function, each with what `argument`, `option` or `flag` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from mien.errors import MissingExtra

T = TypeVar("T")


def argument(metavar: str, text: str) -> Any:
    """Something that is given without a name; `text` is its help."""
    return typer.Argument(metavar=metavar, help=text)


def option(spec: str, text: str, **more: Any) -> Any:
    """An option with a value: `spec` is "OUT", or with names other than its parameter's "--output -o OUT"."""
    *names, metavar = spec.split(" ")
    return typer.Option(*names, metavar=metavar, help=text, **more)


def flag(names: str, text: str) -> Any:
    """An option without a value: its names, such as "--quiet -q"."""
    return typer.Option(*names.split(" "), metavar="", help=text)


def make_record(kind: type[T], given: Mapping[str, Any]) -> T:
    """The dataclass of options that a function takes, of the values of a command that its fields name."""
    return kind(**{one.name: given[one.name] for one in fields(kind) if one.name in given})  # type: ignore[arg-type]


@contextmanager
def needing_server(command: str) -> Iterator[None]:
    """Say how to install the server, where it is absent: what is imported inside is of the extra `serve`."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("mien"):
            raise
        raise MissingExtra(error.name or "fastapi", "serve", command) from error


Overwrite = Annotated[bool, flag("--overwrite", "Replace OUT if it exists.")]
Detect = Annotated[
    bool | None,
    flag(
        "--detect/--crops",
        "--detect: find the largest face in each picture first. --crops: each picture is already "
        r"cropped to one face \[default: chosen by the corpus; for folder by the size of each picture].",
    ),
]
#: A network that is changed, and where the new one goes.
InputModel = Annotated[Path, argument("MODEL", "An ONNX file made by `mien export`.")]
OutputModel = Annotated[Path, option("--output -o OUT", "The ONNX file to write.")]
#: The network that reads, and on what.
Model = Annotated[
    Path | None, option("FILE", "ONNX file made by `mien export`, or name of a shipped network.")
]
Providers = Annotated[
    list[str] | None,
    option(
        "--device --provider NAME",
        "What runs the networks: cpu, cuda (cuda:1 is the second card), coreml, directml, openvino, or an "
        "execution provider of ONNX Runtime; may be repeated, the preferred one first.",
    ),
]
Port = Annotated[int, option("N", "Port to listen on; 0: any free port.", min=0, max=65535)]
Threads = Annotated[int, option("N", "CPU threads for the network.", min=1)]
#: Where networks are trained, and how they count.
TrainingDevice = Annotated[str, option("NAME", "Device to train on: cpu, cuda, cuda:0, ...")]
Precision = Annotated[
    str, option("NAME", "Number format: float32, or bfloat16 (faster on GPUs that support it).")
]
Seed = Annotated[int, option("N", "Seed of all random numbers.", min=0)]
