"""Calibrates a network on a lab's own codes of its own clips, without reading a picture again.

Each coded stretch gives one face, the one at its middle, since frames of one stretch resemble each other. The
probabilities are those in the table, so this network must have made it. Where several people coded the same
moment, most of them must agree, as under the protocol `majority`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from math import isnan
from pathlib import Path
from typing import Final

import numpy as np

from mien.card import ModelCard, with_card
from mien.errors import DataError
from mien.evaluate.calibrate import FLOORS, CalibrateOptions, calibrate_card, softmax
from mien.evaluate.codes import CANNOT_TELL, NONE, Code, read_codes
from mien.evaluate.judge import Predictions
from mien.evaluate.metrics import LEFT_OUT, majority
from mien.evaluate.ratings import match_sources
from mien.evaluate.review import ReviewTable
from mien.faces.network import open_session, read_card, read_model
from mien.files import WholeFile
from mien.labels import EMOTIONS
from mien.results.sidecar import is_changed, read_sidecar
from mien.types import Sample

LEAST: Final = 50  # faces in all, to fit anything; and of an emotion, to fit or tell anything of it alone
APART: Final = 0.5  # seconds between two faces of a track that both count


def calibrate_on_codes(
    model: Path,
    codes: Path,
    table: Path,
    output: Path,
    options: CalibrateOptions,
    *,
    limits: Sequence[str] = (),
    overwrite: bool = False,
) -> tuple[ModelCard, list[str]]:
    """Write a model whose card holds what was fitted on a lab's own codes; its weights stay as they are.

    Args:
        model: ONNX file with a card, or name of a shipped network.
        codes: file or folder, as `codes.read_codes` takes it.
        table: of frames, that `mien analyze` wrote with this network, with its sidecar.
        output: the ONNX file to write.
        options: what is asked of the calibration; its protocol is always `majority`.
        limits: known failures to write on the card as well.
        overwrite: replace `output` if it exists.

    Returns:
        The card as it was written, and what was left out or not done.

    Raises:
        DataError: a file cannot be read, the table is another network's, or it has under `LEAST` coded faces.
        ModelError: the model cannot be read.
        OutputError: `output` exists or cannot be written.
    """
    content = read_model(model)
    card = read_card(open_session(content))
    with_card(content, card)  # if onnx is missing, say so before the table is read
    record = read_sidecar(table)
    if record["network"] != sha256(content).hexdigest():
        raise DataError(
            f"{table}: expected a table that {model} made, it is of {record['model'].get('name')!r} (sha256 "
            f"{record['network'][:12]}...); analyse the clips again with --model {model}"
        )
    notes = [f"{table} was changed since it was made"] if is_changed(table, record) else []
    said = read_codes(codes, notes=notes)
    with WholeFile(output, overwrite=overwrite) as file:
        predictions = find_coded_faces(ReviewTable(table, probabilities=True), said, card, notes)
        truth = majority(predictions.samples)
        if len(truth) < LEAST:
            raise DataError(
                f"{codes}: expected {LEAST} coded faces or more to calibrate on, got {len(truth)}; nothing "
                f"was written. {'; '.join(notes)}"
            )
        numbers = dict(zip(EMOTIONS, np.bincount(truth, minlength=len(EMOTIONS)).tolist(), strict=True))
        few = {emotion: n for emotion, n in numbers.items() if n < LEAST}
        found = calibrate_card(
            card,
            f"{table.name} coded in {codes.name}",
            predictions,
            replace(options, protocol="majority", least=LEAST, compare=True),
        )
        for policy in found.calibration["held_out"]["majority"]["policies"].values():
            for figure in ("recall", "coverage by emotion"):
                for end in policy[figure].values():
                    end.update(dict.fromkeys(few))  # None
            if few:
                policy["balanced accuracy"] = dict.fromkeys(policy["balanced accuracy"])
        added = [f"Calibrated on the people of one lab ({len(truth)} faces): its figures are of them."]
        if few:
            added.append(_tell_few(few, found))
        change = found.calibration["compared"]["nll"]["change"]
        if change["high"] >= 0:
            notes.append(
                "on faces that it was not fitted on, the new calibration is not clearly better than the old "
                "one (the interval of the change of NLL contains 0): code more faces before you use it"
            )
        if predictions.samples[0].person is None:
            notes.append(
                "all faces are from one clip, in both halves of every split: the figures tell nothing of "
                "other clips"
            )
        found = replace(found, limits=(*found.limits, *added, *limits))
        calibrated = with_card(content, found)
        read_card(open_session(calibrated))  # the file can be read again, or does not take its name
        file.partial.write_bytes(calibrated)
    return found, notes + added[1:]


def find_coded_faces(
    table: ReviewTable, codes: Sequence[Code], card: ModelCard, notes: list[str]
) -> Predictions:
    """One face for each coded stretch or photo on which the coders agree, as the network reads it.

    The probabilities are those at temperature 1; `person` is the clip or photo, None if there is only one.
    `notes` gets a line for each reason for which codes were left out.
    """
    places, unmatched = match_sources(codes, table.sources)
    by_face: dict[tuple[str, int | None], list[Code]] = {}
    left_out = Counter[str]()
    for code in codes:
        source = places[code.source]
        if code.source in unmatched:
            left_out["of files that are not in the table"] += 1
            continue
        track = _find_track(table, source, code) if code.track is None else code.track
        if (source, track) not in table.seen or (code.start is None) == table.is_clip(source):
            left_out["of faces that are not in the table"] += 1
            continue
        by_face.setdefault((source, track), []).append(code)
    samples, given = [], []
    for (source, track), held in by_face.items():
        rows = table.seen[source, track]
        last = -np.inf
        for middle, one in sorted({_middle(code): code for code in held}.items(), key=lambda item: item[0]):
            row = rows[int(np.nanargmin(np.abs(rows[:, 0] - middle)))] if table.is_clip(source) else rows[0]
            if not _holds(one, row[0]) or np.isnan(row[7:]).any():
                left_out["of stretches in whose middle no face was read"] += 1
                continue
            if row[0] - last < APART:
                left_out["too near to another of the same face"] += 1
                continue
            words = {code.coder: code.code for code in held if _holds(code, row[0])}  # one of each coder
            votes = tuple(sum(word == emotion for word in words.values()) for emotion in EMOTIONS)
            unknown = sum(word in {NONE, CANNOT_TELL} for word in words.values())
            sample = Sample(f"{source} face {track} at {row[0]:g}", votes, unknown, person=source)
            if majority([sample])[0] == LEFT_OUT:
                left_out["on which no emotion was agreed"] += 1
                continue
            last = row[0]
            samples.append(sample)
            given.append(row[7:])
    notes += [f"codes left out: {n} {why}" for why, n in left_out.items()]
    if len({sample.person for sample in samples}) < 2:
        samples = [replace(sample, person=None) for sample in samples]
    p = np.array(given).reshape(-1, len(EMOTIONS))  # (N, K)
    raw = softmax(card.temperature * np.log(np.maximum(p, np.finfo(np.float32).tiny)))
    return Predictions(tuple(samples), raw.astype(np.float32), tuple(row.tobytes() for row in p))


def _find_track(table: ReviewTable, source: str, code: Code) -> int | None:
    """Who is meant where a code names nobody: the largest face at its middle."""

    def size(track: int | None) -> float:
        rows = table.seen[source, track]
        if table.is_clip(source):
            rows = rows[[int(np.abs(rows[:, 0] - _middle(code)).argmin())]]
        return float(rows[0, 3] * rows[0, 4]) if _holds(code, rows[0, 0]) else -1.0

    return max((track for name, track in table.seen if name == source), key=size)


def _middle(code: Code) -> float:
    return 0.0 if code.start is None or code.end is None else (code.start + code.end) / 2


def _holds(code: Code, time: float) -> bool:
    """Whether a code is of a time; a photo has none (nan)."""
    if code.start is None or code.end is None:
        return isnan(time)
    return code.start <= time <= code.end


def _tell_few(few: dict[str, int], card: ModelCard) -> str:
    """What is not done for want of faces."""

    def names(emotions: Iterable[str]) -> str:
        return ", ".join(f"{emotion} ({few[emotion]})" for emotion in emotions)

    text = f"Fewer than {LEAST} coded faces of {names(few)}: no figures are given for each of them alone."
    lacking = [emotion for emotion in FLOORS if emotion in few]
    if not lacking:
        return text
    if card.calibration["floors"]:
        return f"{text} The policy balanced was fitted without a floor for {names(lacking)}."
    return f"{text} The policy balanced shows what it showed before: {names(lacking)} are too few to fit it."
