"""The process that looks at a clip before it is queued: what breaks or holds up a decoder does so here.

It is given the path of the clip, and says one line of JSON on its standard output.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from mien.errors import VideoError
from mien.video.file import FORMATS
from mien.video.frames import Video


def look(path: Path) -> dict[str, Any]:
    """What is to be known of a clip before it is read.

    Returns:
        `rows`, `columns` of the first frame; `seconds` that it lasts, None if it does not say; `start`,
        the time of its own, in seconds, at which it begins. Or `error`, why it cannot be read.
    """
    try:
        with Video(path) as video:
            first = next(video.lazy_frames(), None)
            rows, columns = first.pixels().shape[:2] if first else (0, 0)
            return {"rows": rows, "columns": columns, "seconds": video.duration, "start": _start(path)}
    except VideoError as error:
        return {"error": str(error)}


def _start(path: Path) -> float:
    """The earliest time of any stream, sound too, of a clip that can be opened."""
    import av

    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    with av.open(str(path.absolute()), metadata_errors="replace", options=options) as container:
        return (container.start_time or 0) / av.time_base


if __name__ == "__main__":
    sys.stdout.write(json.dumps(look(Path(sys.argv[1]))) + "\n")
