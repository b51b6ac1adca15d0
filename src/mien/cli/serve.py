"""`mien serve`: photos, clips and live frames over HTTP, and the page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from mien.cli.options import Model, Port, Providers, flag, make_record, needing_server, option


def serve(  # noqa: PLR0913, PLR0917 - the options of a command are its arguments
    host: Annotated[
        str,
        option(
            "ADDRESS",
            "Address to listen on. Other machines can connect only to an address that is not loopback.",
        ),
    ] = "127.0.0.1",
    port: Port = 8000,
    workers: Annotated[
        int | None, option("N", r"Threads that read photos \[default: one per core].", min=1)
    ] = None,
    keep: Annotated[
        Path | None,
        option("DIR", "Keep the results of clips in DIR. Without it, they are deleted (see --forget-after)."),
    ] = None,
    forget_after: Annotated[
        float,
        option("MINUTES", "Without --keep: delete the results of a clip after this many minutes.", min=1),
    ] = 60,
    token: Annotated[
        str | None,
        option("T", "Secret token that clients must send (Authorization: Bearer T).", envvar="MIEN_TOKEN"),
    ] = None,
    no_auth: Annotated[
        bool, flag("--no-auth", "Require no token, even where other machines can connect.")
    ] = False,
    names: Annotated[
        list[str] | None,
        option("--allow-host NAME", "Another host name to accept (Host header); may be repeated."),
    ] = None,
    fetch: Annotated[
        list[str] | None,
        option(
            "HOST",
            "Also read photos by their address, from this host (NAME or NAME:PORT); *: from every host on "
            "the public Internet; may be repeated.",
        ),
    ] = None,
    cors: Annotated[
        list[str] | None,
        option(
            "ORIGIN",
            "Accept requests from pages of another site (CORS), such as https://example.org; *: of every "
            "site; may be repeated.",
        ),
    ] = None,
    model: Model = None,
    providers: Providers = None,
    upload: Annotated[
        float, option("--max-upload MB", "Largest request with photos, in MB.", min=0.001)
    ] = 100,
    clip: Annotated[float, option("--max-clip MB", "Largest clip, in MB.", min=0.001)] = 2000,
    pixels: Annotated[
        float,
        option("--max-pixels MILLION", "Most pixels in one photo or frame, in millions of pixels.", min=0.01),
    ] = 50,
    files: Annotated[int, option("--max-files N", "Most photos in one request.", min=1)] = 500,
    faces: Annotated[int, option("--max-faces N", "Most faces read in one picture.", min=1)] = 200,
    clip_seconds: Annotated[float, option("S", "Longest clip accepted, in seconds.", min=1)] = 7200,
    clip_frames: Annotated[int, option("N", "Most frames read in one clip.", min=1)] = 500_000,
    job_seconds: Annotated[float, option("S", "Most seconds of work on one clip.", min=1)] = 14_400,
    jobs: Annotated[int, option("N", "Most clips read at the same time.", min=1)] = 1,
    queue: Annotated[int, option("N", "Most clips waiting.", min=1)] = 20,
    requests: Annotated[int, option("N", "Most requests with photos at the same time.", min=1)] = 128,
    disk: Annotated[
        float, option("MB", "Most disk space for uploads and results together, in MB.", min=0.001)
    ] = 20_000,
    stall: Annotated[float, option("S", "End an upload after this many seconds without data.", min=1)] = 15,
) -> None:
    """Start the server: a web page and an HTTP API.

    No data leaves this machine (with --fetch, requests for photos do). Without --keep, results are deleted.
    """
    given = locals()
    from mien.cli.progress import say

    with needing_server("mien serve"):
        from mien.server.listen import serve as listen
        from mien.server.settings import MEGA, Limits, ServerSettings

    sizes = {name: round(MEGA * given[name]) for name in ("upload", "clip", "pixels", "disk")}
    lists = {name: tuple(given[name] or ()) for name in ("providers", "names", "fetch", "cors")}
    limits = make_record(Limits, given | sizes)
    rest = {"forget_after": 60 * forget_after, "auth": not no_auth, "limits": limits}
    listen(make_record(ServerSettings, given | lists | rest), say)
