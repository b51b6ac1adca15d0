"""`mien serve`: photos, clips and live frames over HTTP, and the page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_MEGA = 1_000_000


def serve(  # noqa: PLR0913, PLR0917 - the options of a command are its arguments
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Where to listen. Others reach only what is not loopback.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0: any that is free.")] = 8000,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help=r"Threads that read photos \[default: one a core].")
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep jobs and their results here. Without it, nothing is kept."),
    ] = None,
    forget_after: Annotated[
        float, typer.Option(min=1, metavar="MINUTES", help="Without --keep: when results of clips go.")
    ] = 60,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="T", envvar="MIEN_TOKEN", help="What clients must know (Authorization: Bearer T)."
        ),
    ] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="No token, though others can reach the address.")
    ] = False,
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A further name that this server goes by.")
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="ONNX file by `mien export`, or name of a shipped network."),
    ] = None,
    provider: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Execution provider of ONNX Runtime; may be repeated."),
    ] = None,
    max_upload: Annotated[
        float, typer.Option(min=0.001, metavar="MB", help="Of a request with photos.")
    ] = 100,
    max_clip: Annotated[float, typer.Option(min=0.001, metavar="MB", help="Of a clip.")] = 2000,
    max_pixels: Annotated[
        float, typer.Option(min=0.01, metavar="MILLION", help="Pixels of a photo or frame.")
    ] = 50,
    max_files: Annotated[int, typer.Option(min=1, metavar="N", help="Photos of a request.")] = 500,
    max_faces: Annotated[int, typer.Option(min=1, metavar="N", help="Faces read of a picture.")] = 200,
    clip_seconds: Annotated[float, typer.Option(min=1, metavar="S", help="Length of a clip.")] = 7200,
    clip_frames: Annotated[int, typer.Option(min=1, metavar="N", help="Frames read of a clip.")] = 500_000,
    job_seconds: Annotated[float, typer.Option(min=1, metavar="S", help="Work on one clip.")] = 14_400,
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="Clips read at one time.")] = 1,
    queue: Annotated[int, typer.Option(min=1, metavar="N", help="Clips that wait.")] = 20,
    requests: Annotated[int, typer.Option(min=1, metavar="N", help="Photo requests at one time.")] = 128,
    disk: Annotated[
        float, typer.Option(min=0.001, metavar="MB", help="Of uploads and results together.")
    ] = 20_000,
    stall: Annotated[
        float, typer.Option(min=1, metavar="S", help="Seconds without a byte that end an upload.")
    ] = 15,
) -> None:
    """Serve the page and the API; nothing leaves this machine, and nothing is kept without --keep."""
    from mien.cli.progress import say
    from mien.errors import MissingExtra

    try:
        from mien.server.listen import serve as listen
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("mien"):
            raise
        raise MissingExtra(error.name or "fastapi", "serve", "mien serve") from error
    from mien.server.settings import Limits, ServerSettings

    limits = Limits(
        upload=round(max_upload * _MEGA),
        clip=round(max_clip * _MEGA),
        pixels=round(max_pixels * _MEGA),
        files=max_files,
        faces=max_faces,
        clip_seconds=clip_seconds,
        clip_frames=clip_frames,
        job_seconds=job_seconds,
        jobs=jobs,
        queue=queue,
        requests=requests,
        disk=round(disk * _MEGA),
        stall=stall,
    )
    settings = ServerSettings(
        host=host,
        port=port,
        workers=workers,
        model=model,
        providers=tuple(provider or ()),
        keep=keep,
        forget_after=60 * forget_after,
        token=token,
        auth=not no_auth,
        names=tuple(allow_host or ()),
        limits=limits,
    )
    listen(settings, say)
