"""The weights that a run starts from, where they are not fresh."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mien.errors import ConfigError, MissingExtra, ModelError

if TYPE_CHECKING:
    from mien.train.recipes import Recipe

_DLIB: Final = "dlib_face_recognition_resnet_model_v1.dat"
_SETTLING: Final = 1024  # pictures whose statistics the norms begin with


def _dlib(net: Any, pictures: Any, _run: Path | None) -> None:
    """Dlib's face recognition weights, from the package that carries them (CC0)."""
    from mien.nets.dlib_weights import load_dlib, settle

    load_dlib(net, dlib_file())
    settle(net, pictures[:_SETTLING].float().cpu())


def _run(net: Any, _pictures: Any, run: Path | None) -> None:
    """The averaged weights of a run of the same network."""
    from mien.train.checkpoint import load_checkpoint
    from mien.train.loop import CHECKPOINT

    assert run is not None, "check_start has seen to it"  # noqa: S101
    try:
        net.load_state_dict(load_checkpoint(run / CHECKPOINT)["averaged"])
    except (KeyError, RuntimeError) as error:
        raise ConfigError(
            f"--start {run}: expected a run of the same network, got one whose weights do not fit"
        ) from error


#: Name of the weights to the function that fills a network with them, given pictures (N, 1, H, W) uint8 and,
#: for "run", the folder of that run.
STARTS: Final[dict[str, Callable[[Any, Any, Path | None], None]]] = {"dlib": _dlib, "run": _run}


def check_start(recipe: Recipe, run: Path | None) -> None:
    """Refuse a recipe that lacks the run it starts from, or was given one that it does not start from.

    Raises:
        ConfigError: so it is.
        TrainingError: the run has no checkpoint.
    """
    if (recipe.start == "run") != (run is not None):
        wants = "starts from a run, got none; give --start runs/compact"
        refuses = "starts from no other run; leave --start out, or take the recipe distill"
        raise ConfigError(f"recipe {recipe.name!r}: {wants if run is None else refuses}")
    if run is not None:
        from mien.train.checkpoint import load_checkpoint
        from mien.train.loop import CHECKPOINT

        load_checkpoint(run / CHECKPOINT)  # whatever is wrong with it is told before any work is done


def start_net(name: str, net: Any, pictures: Any, run: Path | None = None) -> None:
    """Fill a fresh network with the weights of that name; leave it fresh if there is no name.

    Raises:
        ConfigError: there are no such weights; the message lists those there are.
        MissingExtra: the package that carries them is not installed.
        ModelError: its file is damaged.
        TrainingError: the run has no checkpoint.
    """
    if not name:
        return
    if name not in STARTS:
        raise ConfigError(f"start: expected one of {', '.join(map(repr, STARTS))}, got {name!r}")
    STARTS[name](net, pictures, run)


def dlib_file() -> Path:
    """The file in the package `face_recognition_models`, which is not imported: it would need setuptools.

    Raises:
        MissingExtra: the package is not installed.
        ModelError: the package lacks the file.
    """
    spec = find_spec("face_recognition_models")
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra("face_recognition_models", "teacher", "starting from dlib's weights")
    path = Path(spec.submodule_search_locations[0]) / "models" / _DLIB
    if not path.is_file():
        raise ModelError(f"{path}: expected dlib's weights in the package, found none; install it again")
    return path
