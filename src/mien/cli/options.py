"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Overwrite = Annotated[bool, typer.Option("--overwrite", metavar="", help="Replace OUT if it exists.")]
#: A network that is changed, and where the new one goes.
InputModel = Annotated[Path, typer.Argument(metavar="MODEL", help="An ONNX file made by `mien export`.")]
OutputModel = Annotated[Path, typer.Option("--output", "-o", metavar="OUT", help="The ONNX file to write.")]
#: The network that reads, and on what.
Model = Annotated[
    Path | None,
    typer.Option(
        "--model", metavar="FILE", help="ONNX file made by `mien export`, or name of a shipped network."
    ),
]
Providers = Annotated[
    list[str] | None,
    typer.Option(
        "--device",
        "--provider",
        metavar="NAME",
        help="What runs the networks: cpu, cuda (cuda:1 is the second card), coreml, directml, openvino, or "
        "an execution provider of ONNX Runtime; may be repeated, the preferred one first.",
    ),
]
#: Where networks are trained, and how they count.
TrainingDevice = Annotated[
    str, typer.Option("--device", metavar="NAME", help="Device to train on: cpu, cuda, cuda:0, ...")
]
Precision = Annotated[
    str,
    typer.Option(
        "--precision",
        metavar="NAME",
        help="Number format: float32, or bfloat16 (faster on GPUs that support it).",
    ),
]
