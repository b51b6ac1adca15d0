"""Every exception that Mien raises on purpose.

A message says what was expected, what came, and what to do. `except MienError` catches all of them and
nothing else: a bug in Mien is never a `MienError`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence


class MienError(Exception):
    """The root of all that follow."""


class ImageError(MienError):
    """A picture that cannot be read."""


class ImageTooLarge(ImageError):
    """A picture with more pixels than the limit, refused before it is decoded."""


class VideoError(MienError):
    """A clip, camera or stream that cannot be read."""


class DataError(MienError):
    """A corpus that is missing, partial or mislabelled."""


class ModelError(MienError):
    """A model file, its card or its checksum."""


class OutputError(MienError):
    """A result that cannot be written."""


class ProgressError(OutputError):
    """Progress that cannot be written, on a full disk for instance: the run stops, and goes on from there."""


class ConfigError(MienError):
    """A setting that makes no sense."""


class TrainingError(MienError):
    """A training run that cannot continue, e.g. because its loss is not finite."""


class MissingExtra(MienError):
    """An optional dependency that is not installed; names the command that installs it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed; "
            f"install it with: pip install 'mien[{extra}]'"
        )
        self.package = package
        self.extra = extra


def require_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Raise a `ConfigError` that lists the choices of a setting unless `value` is one of them."""
    if value not in choices:
        raise ConfigError(f"{name}: expected one of {', '.join(choices)}, got {value!r}")


def shorten(text: str, most: int = 200) -> str:
    """A text for a message, its middle left out where it is long: it may be a whole picture as base64.

    >>> shorten("photo.jpg"), shorten("/9j/4AAQ" * 1000, 20)
    ('photo.jpg', '/9j/4AAQ/9...AQ/9j/4AAQ')
    """
    return text if len(text) <= most else f"{text[: most // 2]}...{text[-most // 2 :]}"


def list_few(names: Sequence[str], most: int = 3) -> str:
    """The first names for a message, and how many more there are.

    >>> list_few(["a", "b", "c", "d", "e"]), list_few(["a", "b"])
    ('a, b, c and 2 more', 'a, b')
    """
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
