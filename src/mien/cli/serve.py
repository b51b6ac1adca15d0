"""`mien serve`: photos, clips and live frames over HTTP, and the page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mien.cli.options import Model, Providers

_MEGA = 1_000_000


def serve(  # noqa: PLR0913, PLR0917 - the options of a command are its arguments
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Address to listen on. Other machines can connect only to an address that is not loopback.",
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="Port to listen on; 0: any free port.")
    ] = 8000,
    workers: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help=r"Threads that read photos \[default: one per core]."),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep the results of clips in DIR. Without it, they are deleted (see --forget-after).",
        ),
    ] = None,
    forget_after: Annotated[
        float,
        typer.Option(
            min=1,
            metavar="MINUTES",
            help="Without --keep: delete the results of a clip after this many minutes.",
        ),
    ] = 60,
    token: Annotated[
        str | None,
        typer.Option(
            metavar="T",
            envvar="MIEN_TOKEN",
            help="Secret token that clients must send (Authorization: Bearer T).",
        ),
    ] = None,
    no_auth: Annotated[
        bool,
        typer.Option(
            "--no-auth", metavar="", help="Require no token, even where other machines can connect."
        ),
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Another host name to accept (Host header); may be repeated."),
    ] = None,
    fetch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="HOST",
            help="Also read photos by their address, from this host (NAME or NAME:PORT); *: from every host "
            "of the public Internet; may be repeated.",
        ),
    ] = None,
    cors: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="Let pages of another site ask (CORS), such as https://example.org; *: of every site; may "
            "be repeated.",
        ),
    ] = None,
    model: Model = None,
    provider: Providers = None,
    max_upload: Annotated[
        float, typer.Option(min=0.001, metavar="MB", help="Largest request with photos, in MB.")
    ] = 100,
    max_clip: Annotated[float, typer.Option(min=0.001, metavar="MB", help="Largest clip, in MB.")] = 2000,
    max_pixels: Annotated[
        float,
        typer.Option(
            min=0.01, metavar="MILLION", help="Most pixels in one photo or frame, in millions of pixels."
        ),
    ] = 50,
    max_files: Annotated[int, typer.Option(min=1, metavar="N", help="Most photos in one request.")] = 500,
    max_faces: Annotated[int, typer.Option(min=1, metavar="N", help="Most faces read in one picture.")] = 200,
    clip_seconds: Annotated[
        float, typer.Option(min=1, metavar="S", help="Longest clip accepted, in seconds.")
    ] = 7200,
    clip_frames: Annotated[
        int, typer.Option(min=1, metavar="N", help="Most frames read in one clip.")
    ] = 500_000,
    job_seconds: Annotated[
        float, typer.Option(min=1, metavar="S", help="Most seconds of work on one clip.")
    ] = 14_400,
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="Most clips read at the same time.")] = 1,
    queue: Annotated[int, typer.Option(min=1, metavar="N", help="Most clips waiting.")] = 20,
    requests: Annotated[
        int, typer.Option(min=1, metavar="N", help="Most requests with photos at the same time.")
    ] = 128,
    disk: Annotated[
        float,
        typer.Option(
            min=0.001, metavar="MB", help="Most disk space for uploads and results together, in MB."
        ),
    ] = 20_000,
    stall: Annotated[
        float,
        typer.Option(min=1, metavar="S", help="End an upload after this many seconds without data."),
    ] = 15,
) -> None:
    """Start the server: a web page and an HTTP API.

    No data leaves this machine (with --fetch, requests for photos do). Without --keep, results are deleted.
    """
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
        fetch=tuple(fetch or ()),
        cors=tuple(cors or ()),
        limits=limits,
    )
    listen(settings, say)
