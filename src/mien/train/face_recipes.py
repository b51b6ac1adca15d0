"""The face network's recipes: what it learns from, for how long, and how it is judged.

What the teacher says of a corpus lies in one file of labels (`data.face_labels`). Faces that the recipe keeps
back judge: FairFace's whose number ends in 0.

Legend: N faces, L = 146 landmarks, U = 45 movements, S = 96, the side of a crop, D numbers of a target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pil
from torch import Tensor, nn

from mien.config import provenance
from mien.data.arrays import corpus_key, data_hash, gather
from mien.data.corpus import open_store
from mien.data.face_labels import ADVICE, find_corpus, is_kept_back, open_labelled
from mien.data.pictures import corpus_of, is_picture
from mien.errors import DataError
from mien.faces.align import PARTS_TEMPLATE, move, similarity, warp
from mien.faces.detect import COARSE
from mien.faces.parts import head_pose
from mien.faces.yunet import YuNetNetwork
from mien.files import load_arrays, save_arrays
from mien.nets.face import FaceNet, FaceNetOptions
from mien.train import distributed
from mien.train.face import (
    FACE,
    NO_FACE,
    TARGET,
    FaceAugmentOptions,
    FaceLoss,
    FaceLossOptions,
    eye_distance,
    face_targets,
    split,
)
from mien.train.faces import as_tensor, file_hash
from mien.train.loop import (
    CHECKPOINT,
    LoopOptions,
    Report,
    TrainingTask,
    load_averaged,
    load_checkpoint,
    train,
)
from mien.train.recipes import check_start, claim_provenance, claim_recipe
from mien.types import Floats, Image, Sample
from mien.units import OUTPUTS, UNITS

_LANDMARKS: Final = TARGET["landmarks"] // 2
_CANDIDATE: Final = 0.3  # YuNet's score from which there is a face that the teacher did not see
_MARGIN: Final = 1.45  # side of what is cut from a large picture, per longer side of its landmarks
_PATCHES: Final = 64  # of each picture without people
_LEAST_PATCH: Final = 28  # pixels
_BATCH: Final = 512  # of judging
_AGAIN: Final = "remove the file, and it is made again"

#: The slight misplacement with which a network is judged: that of a detector's landmarks.
GENTLE: Final = FaceAugmentOptions(
    turn=3, scale=0.03, shift=0.012, wild=0, misframed=0, blur=0, dark=0, cover=0, noise=0
)


@dataclass(frozen=True, slots=True)
class FaceRecipe:
    """Everything that decides a run of the face network, written into the run's folder."""

    name: str = "face"
    start: str = ""  # "run": the weights of another run; "": fresh ones
    corpora: tuple[str, ...] = ("fairface", "photos", "ferplus")  # the first judges
    weights: tuple[float, ...] = (1.0, 1.0, 0.5)  # of each corpus's labels
    shares: tuple[float, ...] = (
        1.0,
        1.0,
        1.0,
        1.0,
    )  # learnt of each corpus, and of what is no face
    net: FaceNetOptions = field(default_factory=FaceNetOptions)
    loop: LoopOptions = field(
        default_factory=lambda: LoopOptions(
            epochs=16, batch=512, rate=3e-3, warmup=2.0, weight_decay=0.02, average=0.999,
            clip=1.0, precision="bfloat16", optimizer="adamw",
        )
    )  # fmt: skip
    augment: FaceAugmentOptions = field(default_factory=FaceAugmentOptions)
    loss: FaceLossOptions = field(default_factory=FaceLossOptions)


def face() -> FaceRecipe:
    """The face network from nothing: `mien train face --root DATA --labels LABELS --negatives FILE`."""
    return FaceRecipe()


def face_more() -> FaceRecipe:
    """The same, on from a run of `face`: with `--start runs/face`."""
    first = FaceRecipe()
    return replace(
        first, name="face-more", start="run", loop=replace(first.loop, epochs=15, rate=2.5e-3, warmup=1.0)
    )


def face_fine() -> FaceRecipe:
    """On from a run of `face-more`, small enough for two cores: less spoilt crops, movements count twice.

    All of FairFace and of the photos, a quarter of FER+ and .3 of what is no face.
    """
    loop = LoopOptions(
        epochs=5, batch=256, rate=1.5e-3, warmup=0.3, weight_decay=0.02, clip=1.0, optimizer="adamw"
    )
    milder = FaceAugmentOptions(
        turn=6, scale=0.06, shift=0.025, wild=0.12, misframed=0.06, blur=0.3, dark=0.15, cover=0.15, noise=5
    )
    return FaceRecipe(
        name="face-fine",
        start="run",
        shares=(1.0, 1.0, 0.25, 0.3),
        loop=loop,
        augment=milder,
        loss=FaceLossOptions(units=2.0),
    )


def face_last() -> FaceRecipe:
    """On from a run of `face-fine`, on crops near to what a detector gives: most of them clean."""
    before = face_fine()
    loop = replace(before.loop, epochs=10, batch=128, rate=1e-3, average=0.999)
    near = FaceAugmentOptions(
        turn=4, scale=0.04, shift=0.018, wild=0.1, misframed=0.05, blur=0.2, dark=0.12, cover=0.1, noise=4
    )
    return replace(before, name="face-last", shares=(1.0, 1.0, 0.15, 0.2), loop=loop, augment=near)


FACE_RECIPES: Final[dict[str, Callable[[], FaceRecipe]]] = {
    "face": face,
    "face-more": face_more,
    "face-fine": face_fine,
    "face-last": face_last,
}


def run_face_training(
    recipe: FaceRecipe,
    root: Path,
    run: Path,
    *,
    labels: Path,
    negatives: Path,
    start: Path | None = None,
    device: str = "cpu",
    report: Report,
) -> None:
    """Train the face network into the folder `run`, resuming where it stopped.

    `root` is a folder with the recipe's corpora, each a folder or zip of its name, `labels` one with the
    labels of each, an .npz of its name (`data.face_labels`). `negatives` is what is no face
    (`read_negatives`), `start` the folder of the run whose weights this one starts from.

    Raises:
        ConfigError: the folder holds a run of another recipe, or the run to start from is missing.
        DataError: pictures or labels are missing or damaged.
        TrainingError: the run cannot continue.
    """
    torch.manual_seed(recipe.loop.seed)
    net = FaceNet(recipe.net)
    with distributed.first_alone():
        wants = "starts from another run, got none; give --start runs/face"
        check_start(recipe, start, wants=wants, instead="face-more")
        if start is not None:
            load_checkpoint(start / CHECKPOINT)  # a fault is reported before any work is done
        claim_recipe(recipe, run)
        task, facts = make_face_task(recipe, net, root, run / "cache", labels, negatives, device)
        begun = {} if start is None else {"start": file_hash(start / CHECKPOINT)}
        claim_provenance(run, provenance(seed=recipe.loop.seed, **facts, **begun))
    if start is not None and not (run / CHECKPOINT).is_file():
        load_averaged(net, start)
    train(net, task, recipe.loop, run, report)


def make_face_task(
    recipe: FaceRecipe, net: FaceNet, root: Path, cache: Path, labels: Path, negatives: Path, device: str
) -> tuple[TrainingTask, dict[str, Any]]:
    """The task of a recipe, and facts for its provenance; the fresh network begins at the mean face."""
    side, judge = recipe.net.side, recipe.corpora[0]
    learnt: list[tuple[Image, NDArray[np.int64]]] = []  # crops of each source, and which of them
    targets: list[Floats] = []
    examined: list[tuple[Image, Floats]] = []  # crops and targets that judge
    for name, weight, share in zip(recipe.corpora, recipe.weights, recipe.shares[:-1], strict=True):
        found = cut_labelled(name, find_corpus(root, name), labels / f"{name}.npz", cache, side)
        known, seen = found["known"], np.isfinite(found["elsewhere"]).all((1, 2))
        kept_back = np.array([is_kept_back(place) for place in found["name"].tolist()])
        answers = found["landmarks"], found["units"], found["rotation"]
        wanted = np.nan_to_num(face_targets(*answers, known, weight, found["elsewhere"]))
        # faces that YuNet alone sees are taken from the first corpus, in whose pictures there always is one
        which = np.flatnonzero(~kept_back & (known | (seen & (name == judge))) & _drawn(len(known), share, 0))
        learnt.append((found["crops"], which))
        targets.append(wanted[which])
        if name == judge:
            examined.append((found["crops"][kept_back & known], wanted[kept_back & known]))
    values = {key: v.numpy() for key, v in split(torch.from_numpy(targets[0]), TARGET).items()}
    known = values["kind"][:, 0] == FACE
    if not known.any() or not len(examined[0][0]):
        raise DataError(
            f"{labels}: expected faces of {judge} to learn from, and others to judge by (file numbers that "
            f"end in 0), found {known.sum()} and {len(examined[0][0])}; {ADVICE}"
        )
    mean, deviation = values["units"][known].mean(0), values["units"][known].std(0)  # (U,)
    shape = shape_of(values, known)
    net.begin_at(*map(torch.from_numpy, (shape, mean, deviation.clip(1e-3))))

    crops, kept_back = read_negatives(negatives, side)
    wanted = no_face_targets(len(crops), shape)
    which = np.flatnonzero(~kept_back & _drawn(len(crops), recipe.shares[-1], 1))
    learnt.append((crops, which))
    targets.append(wanted[which])
    examined.append((crops[kept_back], wanted[kept_back]))

    images = gather(learnt, cache)  # (N, S, S)
    judged, judged_targets = (torch.from_numpy(np.concatenate(part)) for part in zip(*examined, strict=True))
    mirror, deviations = find_mirror(shape), torch.from_numpy(deviation.clip(0.02))
    gentle = FaceLoss(mirror, deviations, GENTLE, recipe.loss, side)
    task = TrainingTask(
        images=as_tensor(images, device),
        targets=torch.from_numpy(np.concatenate(targets)).to(device),
        loss=FaceLoss(mirror, deviations, recipe.augment, recipe.loss, side),
        judge=lambda net: judge_faces(net, gentle, judged[:, None], judged_targets, device),
    )
    facts = {
        "data": data_hash(images),
        "pictures": len(images),
        "without_faces": len(targets[-1]),
        "labels": {name: file_hash(labels / f"{name}.npz") for name in recipe.corpora},
    }
    return task, facts


def labelled_faces(
    root: Path, labels: Path, cache: Path, side: int, most: int
) -> tuple[Callable[[nn.Module], dict[str, float]], Image]:
    """What judges a face network (`judge_faces`) on faces kept back; crops (N, S, S) of others.

    Of the first corpus of the recipes, at `root`, with its labels; `most` of the others, evenly drawn.
    """
    name = FaceRecipe().corpora[0]
    found = cut_labelled(name, find_corpus(root, name), labels / f"{name}.npz", cache, side)
    known = np.flatnonzero(found["known"])
    kept_back = np.array([is_kept_back(place) for place in found["name"][known].tolist()])
    said = [found[key][known] for key in ("landmarks", "units", "rotation")]
    everybody, nowhere = np.ones(len(known), bool), np.zeros((len(known), 4, 2))
    targets = torch.from_numpy(face_targets(said[0], said[1], said[2], everybody, 1.0, nowhere))
    pictures = torch.from_numpy(found["crops"][known])[:, None]
    parts = {key: value.numpy() for key, value in split(targets, TARGET).items()}
    gentle = FaceLoss(
        find_mirror(shape_of(parts, everybody)), torch.ones(len(UNITS)), GENTLE, FaceLossOptions(), side
    )
    judged, others = np.flatnonzero(kept_back), np.flatnonzero(~kept_back)
    if not len(judged) or not len(others):
        raise DataError(f"{labels}: expected faces of {name} to judge by, and others, found none; {ADVICE}")
    drawn = others[np.linspace(0, len(others) - 1, min(most, len(others))).astype(int)]
    generator = torch.Generator().manual_seed(0)
    crops, _ = gentle.crops(pictures[drawn].float(), targets[drawn], generator)
    return (
        lambda net: judge_faces(net, gentle, pictures[judged], targets[judged], "cpu"),
        crops[:, 0].round().clamp(0, 255).byte().numpy(),
    )


def _drawn(count: int, share: float, seed: int) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random(count) < share


@torch.no_grad()
def judge_faces(
    net: nn.Module, gentle: FaceLoss, images: Tensor, targets: Tensor, device: str
) -> dict[str, float]:
    """How near the network comes to its teacher on (N, 1, S, S) faces and crops without one.

    Returns:
        landmarks and median: the error in hundredths of the pupils' distance; correlation: of each movement
        with the teacher's, their mean and median; yaw, pitch, roll: mean error in degrees; seen: the share of
        faces, and invented: that of crops without a face, in which it sees one.
    """
    net.eval().to(device)
    generator = torch.Generator().manual_seed(5)
    rows = []
    for i in range(0, len(images), _BATCH):
        target = targets[i : i + _BATCH].to(device)
        crops, wanted = gentle.crops(images[i : i + _BATCH].float().to(device), target, generator)
        said = split(net(crops).float(), OUTPUTS)
        away = (
            (said["landmarks"].view(len(crops), -1, 2) - wanted["landmarks"]).square().sum(2).sqrt().mean(1)
        )
        error = away / eye_distance(wanted["landmarks"])
        parts = (error, said["units"], wanted["units"], said["turn"], wanted["turn"], said["presence"][:, 0])
        rows.append([part.cpu().numpy() for part in (*parts, wanted["presence"])])
    columns = (np.concatenate(column) for column in zip(*rows, strict=True))
    off, units, true_units, turn, true_turn, presence, is_face = columns
    faces = is_face > 0
    moves = true_units[faces].std(0) > 0
    with np.errstate(invalid="ignore", divide="ignore"):
        both = [np.corrcoef(units[faces, u], true_units[faces, u])[0, 1] for u in np.flatnonzero(moves)]
    upright = np.eye(2, 3)
    pose, true_pose = (
        np.stack([head_pose(row.reshape(2, 3), upright) for row in rows])
        for rows in (turn[faces], true_turn[faces])
    )
    angles = np.abs(pose - true_pose).mean(0)
    seen = presence > 0
    figures = {
        "landmarks": 100 * off[faces].mean(),
        "median": 100 * np.median(off[faces]),
        "correlation": np.nanmean(both),
        "correlation_median": np.nanmedian(both),
        **dict(zip(("yaw", "pitch", "roll"), angles, strict=True)),
        "seen": seen[faces].mean(),
        **({} if faces.all() else {"invented": seen[~faces].mean()}),
    }
    return {key: round(float(value), 4) for key, value in figures.items()}


def cut_labelled(name: str, root: Path, labels: Path, cache: Path, side: int) -> dict[str, NDArray[Any]]:
    """The labelled pictures of a corpus as crops, kept in a file of `cache`.

    A square picture of at most `side` pixels is taken whole, since its corpus cut it to the face; another is
    cut around the landmarks, with room to turn and shift. Where the teacher saw no face, YuNet is asked.

    Returns:
        What `face_labels.read_labels` gives, landmarks as shares of the crop; crops (N, side, side);
        elsewhere (N, 4, 2), pupils and corners of the mouth where YuNet alone sees a face, else NaN.
    """
    corpus, found = open_labelled(name, root, labels)
    path = cache / f"{name}-{corpus_key(corpus)}-{file_hash(labels)}-{side}.npz"
    if not path.is_file():
        yunet = YuNetNetwork()
        count = len(corpus)
        crops = np.zeros((count, side, side), np.uint8)
        moved, elsewhere = np.zeros((count, _LANDMARKS, 2), np.float32), np.full((count, 4, 2), np.nan)
        for i, sample in enumerate(corpus.samples):
            pixels = corpus.read(sample)  # (H, W, 3)
            size = np.array(pixels.shape[1::-1])
            known = bool(found["known"][i])
            points = found["landmarks"][i] * size if known else None
            matrix = frame_face(size, points, side)
            gray = np.asarray(Pil.fromarray(pixels).convert("L"))
            crops[i] = warp(gray, matrix, (side, side))
            if points is not None:
                moved[i] = move(matrix, points) / side
            else:
                scale = COARSE / max(size)
                large = Pil.fromarray(pixels).resize(tuple((size * scale).round().astype(int).tolist()))
                seen = yunet(np.asarray(large), _CANDIDATE)
                if len(seen):
                    elsewhere[i] = move(matrix, seen.landmarks[0][[0, 1, 3, 4]] / scale) / side
        save_arrays(path, {"crops": crops, "landmarks": moved, "elsewhere": elsewhere})
    return found | load_arrays(path, _AGAIN)


def frame_face(size: NDArray[Any], points: NDArray[Any] | None, side: int) -> NDArray[np.float64]:
    """The (2, 3) similarity from a picture of (width, height) to the crop that is kept of it."""
    middle, extent = size / 2, float(min(size))
    if points is not None and not (size[0] == size[1] <= side):
        low, high = points.min(0), points.max(0)
        middle, extent = (low + high) / 2, float(max(high - low)) * _MARGIN
    scale = side / extent
    return np.column_stack([np.eye(2) * scale, side / 2 - middle * scale])


def read_negatives(source: Path, side: int) -> tuple[Image, NDArray[np.bool_]]:
    """Crops (M, side, side) that show no face, and which of them (M,) are kept back for judging.

    Args:
        source: an .npz of `crops` (M, T, T) uint8 and `valid` (M,) bool; or a folder or zip of pictures
            without faces, from each of which random patches are cut, turned at random; a tenth of the
            pictures is kept back.
        side: of the crops.
    """
    if source.suffix == ".npz" and source.is_file():
        held = load_arrays(source, "make it again")
        if not {"crops", "valid"} <= held.keys() or held["crops"].ndim != 3:
            raise DataError(
                f"{source}: expected crops (M, side, side) and valid (M,), got {', '.join(held) or 'nothing'}"
            )
        small = (Pil.fromarray(crop).resize((side, side), Pil.Resampling.LANCZOS) for crop in held["crops"])
        return np.stack([np.asarray(crop) for crop in small]), held["valid"].astype(bool)
    store = open_store(source)
    samples = [Sample(place) for place in store.names() if is_picture(PurePosixPath(place))]
    corpus = corpus_of("negatives", store, samples)
    patches: list[Image] = []
    kept_back: list[bool] = []
    for sample in samples:
        gray = np.asarray(Pil.fromarray(corpus.read(sample)).convert("L"))
        seed = crc32(sample.name.encode())
        patches += _cut_patches(gray, side, np.random.default_rng(seed))
        kept_back += [seed % 10 == 0] * _PATCHES
    if not patches:
        raise DataError(f"{source}: expected pictures without faces, found none; check --negatives")
    return np.stack(patches), np.array(kept_back)


def _cut_patches(gray: Image, side: int, random: np.random.Generator) -> Iterator[Image]:
    size = np.array(gray.shape[::-1])
    for _ in range(_PATCHES):
        extent = np.exp(random.uniform(np.log(min(_LEAST_PATCH, *size)), np.log(min(size))))
        middle, angle = random.uniform(extent / 2, size - extent / 2), random.uniform(0, 2 * np.pi)
        c, s = side / extent * np.cos(angle), side / extent * np.sin(angle)
        turn = np.array([[c, -s], [s, c]])
        yield warp(gray, np.column_stack([turn, side / 2 - turn @ middle]), (side, side))


def no_face_targets(count: int, shape: NDArray[Any]) -> Floats:
    """(count, D): the middle of the crop is looked at, nothing else is to be said of it."""
    parts = {
        "kind": [NO_FACE],
        "weight": [1.0],
        "align": np.ravel(PARTS_TEMPLATE),
        "landmarks": shape.ravel(),
        "turn": np.eye(3).ravel(),
        "units": np.zeros(len(UNITS)),
    }
    row = np.concatenate([np.asarray(parts[key], np.float32) for key in TARGET])
    return np.tile(row, (count, 1))


def shape_of(targets: dict[str, NDArray[Any]], known: NDArray[np.bool_]) -> Floats:
    """(L, 2): the mean of the known among N faces, by the parts of their targets (`split`)."""
    landmarks, align = (targets[key][known] for key in ("landmarks", "align"))
    return mean_shape(landmarks.reshape(-1, _LANDMARKS, 2), align.reshape(-1, 4, 2))


def mean_shape(landmarks: NDArray[Any], align: NDArray[Any]) -> Floats:
    """(N, L, 2) landmarks, each face brought to the template by its (N, 4, 2) parts: their mean, (L, 2)."""
    template = np.array(PARTS_TEMPLATE)
    shapes = [
        move(similarity(parts, template), points) for parts, points in zip(align, landmarks, strict=True)
    ]
    mean: Floats = np.mean(shapes, axis=0, dtype=np.float32)
    return mean


def find_mirror(shape: NDArray[Any]) -> Tensor:
    """(L,) the landmark on the other side of the face for each of the mean (L, 2)."""
    mirrored = shape * [-1, 1] + [1, 0]
    return torch.from_numpy(np.square(shape[:, None] - mirrored).sum(2).argmin(1))
