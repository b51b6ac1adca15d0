"""The paragraph on methods that a paper needs about a table, from the sidecar that tells how it was made.

What the sidecar does not tell is called "not known". `[@key]` in a sentence is a citation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from mien.errors import DataError
from mien.labels import EMOTIONS
from mien.results.sidecar import find_sidecar, is_changed, read_sidecar

#: Works by their keys, in the order of a list of references: how the text calls one, and how the list does.
WORKS: Final = {
    "ferplus": (
        "Barsoum et al., 2016",
        "Barsoum, E., Zhang, C., Canton Ferrer, C., & Zhang, Z. (2016). Training deep networks for facial "
        "expression recognition with crowd-sourced label distribution. ICMI 2016, 279-283. "
        "doi:10.1145/2993148.2993165",
    ),
    "fer2013": (
        "Goodfellow et al., 2013",
        "Goodfellow, I. J., Erhan, D., Carrier, P. L., et al. (2013). Challenges in representation "
        "learning: a report on three machine learning contests. arXiv:1307.0414",
    ),
    "fairface": (
        "Kärkkäinen & Joo, 2021",
        "Kärkkäinen, K., & Joo, J. (2021). FairFace: face attribute dataset for balanced race, gender, and "
        "age for bias measurement and mitigation. WACV 2021, 1548-1558.",
    ),
    "mien": (
        "The Mien maintainers, 2026",
        "The Mien maintainers (2026). Mien: reading the expression on faces in photos and video (version "
        "{version}) [software].",
    ),
    "yunet": (
        "Wu et al., 2023",
        "Wu, W., Peng, H., & Yu, S. (2023). YuNet: a tiny millisecond-level face detector. Machine "
        "Intelligence Research, 20, 656-665. doi:10.1007/s11633-023-1423-y",
    ),
}
#: The same for BibTeX, in the same order.
_BIBTEX: Final = Path(__file__).parent / "templates" / "references.bib"
_CITATION: Final = re.compile(rf"\[@({'|'.join(WORKS)})\]")
_UNKNOWN: Final = "not known"
#: How entries of a card's data begin, and what a paper says of them; others are given as the card has them.
_DATA: Final = {
    "FER+ votes": "the votes of FER+ [@ferplus]",
    "FER2013 pictures": "the pictures of FER2013 [@fer2013]",
    "FairFace's faces, without labels": "faces of FairFace without their labels [@fairface]",
    "labels by the teacher": "the answers of larger networks",
    "by its teachers": "(some of these networks began from weights of another task)",
}
_PROTOCOLS: Final = {
    "majority": "on whose expression more than half of the coders agreed",
    "argmax": "labelled by the expression with the most votes",
}
_LATEX: Final = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "×": r"$\times$",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Methods:
    """The paragraph in both forms, and what the reader should know of it."""

    text: str  # with its list of references
    latex: str
    bibtex: str
    notes: tuple[str, ...] = ()


def describe_methods(table: Path, *, agreement: Path | None = None) -> Methods:
    """The paragraph on methods about a table that `mien analyze` wrote.

    Args:
        table: the file, with its sidecar beside it; or a folder of shards.
        agreement: what `mien agree` wrote as JSON, of this table and codes by people.

    Raises:
        DataError: there is no sidecar, or one of the files is damaged.
    """
    record = read_sidecar(table)
    notes = []
    if is_changed(table, record):
        notes.append(f"{table}: was changed after it was made; the paragraph is about what Mien wrote")
    if record.get("interrupted"):
        notes.append(f"{table}: its run was interrupted; the paragraph is about what was read until then")
    with _reading(find_sidecar(table), "what `mien analyze` says of a run"):
        text = " ".join(_say_run(record))
    if agreement is None:
        text += " How far it agrees with people on this material was not measured."
    else:
        with _reading(agreement, "figures of agreement that `mien agree -o FILE.json` wrote"):
            found = json.loads(agreement.read_bytes())
            text = " ".join([text, *_say_agreement(found)])
            names = {one["name"] for one in record.get("inputs", ()) if isinstance(one, dict)}
            if names.isdisjoint(found["clips"]) and not table.is_dir():
                notes.append(f"{agreement}: is about other clips than {table}; is it the right file?")
    version = str(record["mien"])
    keys = [key for key in WORKS if f"[@{key}]" in text]  # in the order of their authors
    plain = _CITATION.sub(lambda found: f"({WORKS[found[1]][0]})", text)
    references = [WORKS[key][1].format(version=version) for key in keys]
    listed = _BIBTEX.read_text("utf-8").strip().replace("{version}", version).split("\n\n")
    entries = dict(zip(WORKS, listed, strict=True))
    return Methods(
        "\n".join([plain, "", *references]) + "\n",
        _to_latex(text) + "\n",
        "\n".join(f"{entries[key]}\n" for key in keys),
        tuple(notes),
    )


@contextmanager
def _reading(path: Path, what: str) -> Iterator[None]:
    """What is missing in a file, or cannot be read, becomes a `DataError`."""
    try:
        yield
    except (OSError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: expected {what}, could not read it ({type(error).__name__}: {error}); is it another "
            "file, or was it changed? make it again"
        ) from error


def _say_run(record: Mapping[str, Any]) -> Iterator[str]:
    """The sentences on a run, in the order in which a paper tells them."""
    settings, counts, model = record["settings"], record["counts"], record["model"]
    inputs = record.get("inputs")
    kinds = {one["kind"] for one in inputs} if isinstance(inputs, list) else {"photo", "clip"}
    moving = bool(kinds & {"clip", "camera", "stream"})

    yield f"Facial expressions were read with Mien {record['mien']} [@mien]."
    yield _say_material(inputs if isinstance(inputs, list) else None, counts)
    if moving:
        yield _say_sampling(settings)
    yield from _say_faces(settings, record.get("detector", {}), moving=moving)
    yield from _say_network(model, record["network"], settings)
    if moving:
        smooth = settings.get("smooth")
        yield (
            "The probabilities of clips were not smoothed."
            if smooth == 0
            else "The probabilities of clips were smoothed along the track of each face over "
            f"{_or_unknown(smooth)} s."
        )
    if events := record.get("events"):
        yield (
            f"An event is a stretch of a smoothed probability of at least {events['leave']:g} that reaches "
            f"{events['enter']:g} and lasts {events['shortest']:g} s or more; up to {events['bridge']:g} s "
            "below do not end it."
        )
    looked_at = "pictures and frames" if moving and "photo" in kinds else "frames" if moving else "pictures"
    if counts["frames"]:
        yield f"No face was found in {_share(counts['without_face'], counts['frames'], looked_at)}."
    if model["uncertain"] is not None and counts["read"]:
        yield f"Of the readings, {_share(counts['uncertain'], counts['read'])} were uncertain."
    yield "What was read is the expression shown, not what a person felt."


def _say_material(inputs: list[Mapping[str, Any]] | None, counts: Mapping[str, int]) -> str:
    if inputs is None:
        what = _count(counts["inputs"], "photo or clip", "photos and clips")
    else:
        photos = sum(one["kind"] == "photo" for one in inputs)
        clips = [one for one in inputs if one["kind"] not in {"photo", "missing", "other"}]
        # to the end of the last frame, which the record does not tell: it is as long as the others
        timed = ((one["last"] - one["first"], one["frames"]) for one in clips if "first" in one)
        seconds = sum(length * n / max(1, n - 1) for length, n in timed)
        frames = sum(one["frames"] for one in clips)
        parts = [_count(photos, "photo")] if photos else []
        if clips:
            parts.append(f"{_count(len(clips), 'clip')} ({frames:,} frames read, over {seconds:,.1f} s)")
        what = " and ".join(parts) or "no photo and no clip"
    failed = counts["failed"]
    lost = f"; {_count(failed, 'input')} could not be read, or not to the end" if failed else ""
    return f"The material was {what}{lost}."


def _say_sampling(settings: Mapping[str, Any]) -> str:
    every, fps, start, end = (settings.get(name) for name in ("every", "fps", "start", "end"))
    if fps is not None:
        which = f"{fps:g} frames per second were"
    else:
        which = "every frame was" if every == 1 else f"every {_ordinal(every)} frame was"
    since = "" if start is None else f" from {start:g} s"
    until = "" if end is None else f" up to {end:g} s"
    tracks = settings.get("tracks")
    some = f", of which the faces with the numbers {', '.join(map(str, tracks))} were kept" if tracks else ""
    return f"Of clips, {which} read{since}{until}{some}."


def _say_faces(settings: Mapping[str, Any], detector: Mapping[str, str], *, moving: bool) -> Iterator[str]:
    if settings.get("crops"):
        yield "The pictures were cropped to one face each before, so that no face was searched for."
        return
    follow = ""
    if moving:
        follow = (
            f"; in clips they were searched in every {_ordinal(settings.get('detect_every'))} frame that was "
            "read and wherever one came, went or was lost, and followed by their landmarks in between"
        )
    yield (
        "Faces were proposed by the detector YuNet [@yunet] and confirmed by Mien's face network "
        f"(sha256 {_short_hash(detector.get('face'))}){follow}."
    )
    kept = (
        f"Faces of at least {_or_unknown(settings.get('min_face'))} pixels with a score of at least "
        f"{_or_unknown(settings.get('min_score'))} were kept"
    )
    if region := settings.get("region"):
        x, y, width, height = region
        kept += f" if their middle lay within {width:g} × {height:g} pixels from ({x:g}, {y:g})"
    if (most := settings.get("max_faces")) is not None:
        kept += ", of each picture only the largest" + (f" {most}" if most > 1 else "")
    yield f"{kept}."


def _say_network(model: Mapping[str, Any], digest: str, settings: Mapping[str, Any]) -> Iterator[str]:
    size = model["size"]
    crop = "scaled" if settings.get("crops") else "turned and scaled by its eyes, nose and mouth"
    yield (
        f"Each face was {crop} to {size} × {size} pixels and read by the convolutional network "
        f"{model['name']} ({model['parameters']:,} weights, sha256 {_short_hash(digest)}), which gives "
        f"probabilities of {', '.join(EMOTIONS[:-1])} and {EMOTIONS[-1]}."
    )
    data = [
        next((said for begin, said in _DATA.items() if entry.startswith(begin)), entry)
        for entry in model["data"]
    ]
    if data:
        listed = "; ".join(dict.fromkeys(data)).replace("; (", " (")
        yield f"It was trained on {listed}."
    else:
        yield f"What it was trained on is {_UNKNOWN}."
    yield _say_figures(model)
    policy = settings.get("policy")
    leans = "leans to rare expressions" if model["leans"] else "is the likeliest one"
    yield f"The expression shown was chosen by the policy {_or_unknown(policy)}, which {leans}."
    if model["uncertain"] is not None:
        yield (
            f"Readings whose confidence times quality was below {model['uncertain']:.3g} were marked "
            "uncertain."
        )
    else:
        yield "Readings were not marked as uncertain, since the network has no threshold for it."


def _say_figures(model: Mapping[str, Any]) -> str:
    """How well the network reads the faces of its calibration, each half by what the other gave."""
    held_out = model["held_out"]
    protocol = next((name for name in _PROTOCOLS if name in held_out), next(iter(held_out), None))
    if protocol is None or held_out[protocol].get("accuracy") is None:
        return f"How often its readings are right is {_UNKNOWN}."
    figures = held_out[protocol]
    where = model["calibrated_on"]
    corpus = "the validation set of FER+ [@ferplus]" if where == "ferplus/valid" else _or_unknown(where)
    labels = _PROTOCOLS.get(protocol, f"labelled by {protocol}")
    text = (
        f"Of {figures['n']:,} faces of {corpus} {labels}, each read with thresholds that were fitted without "
        f"it (means of {_or_unknown(figures['splits'])} random halves), it reads "
        f"{100 * figures['accuracy']:.1f}% right"
    )
    if (mean := figures.get("balanced accuracy")) is not None:
        text += f" (mean recall of the expressions {100 * mean:.1f}%)"
    if (right := figures.get("right if certain")) is not None:
        text += f", and {100 * right:.1f}% of those that it does not mark as uncertain"
    return f"{text}."


def _say_agreement(found: Mapping[str, Any]) -> Iterator[str]:
    """The sentences on how far it and people agree, and people among themselves."""
    options = found["options"]
    yield (
        f"Agreement was measured on {_count(len(found['clips']), 'clip or photo', 'clips or photos')} in "
        f"moments of {options['step']:g} s, with 95% intervals from {options['draws']:,} draws of whole "
        "clips."
    )
    for pair in found["pairs"]:
        percent, kappa, alpha = (pair["figures"][name]["in all"] for name in ("percent", "kappa", "alpha"))
        if not pair["moments"]:
            yield f"{pair['first']} and {pair['second']} had no moment in common."
            continue
        yield (
            f"{pair['first']} and {pair['second']} agreed in {100 * percent['value']:.1f}% of "
            f"{pair['moments']:,} moments: Cohen's kappa {_figure(kappa)}, Krippendorff's alpha "
            f"{_figure(alpha)}."
        )
    for group in found["groups"]:
        yield (
            f"Krippendorff's alpha of {', '.join(group['raters'][:-1])} and {group['raters'][-1]} together "
            f"was {_figure(group['alpha']['in all'])}."
        )


def _figure(estimate: Mapping[str, float | None]) -> str:
    value, low, high = (estimate[name] for name in ("value", "low", "high"))
    if value is None:
        return f"({_UNKNOWN})"
    return f"{value:.2f}" + ("" if low is None or high is None else f" ({low:.2f} to {high:.2f})")


def _share(part: int, whole: int, what: str = "") -> str:
    of = f" of the {what}" if what else ""
    return f"{100 * part / whole:.1f}%{of} ({part:,} of {whole:,})"


def _count(number: int, one: str, more: str = "") -> str:
    return f"{number:,} {one if number == 1 else more or one + 's'}"


def _ordinal(number: int | None) -> str:
    if number is None:
        return "n-th"
    ending = "th" if number % 100 in {11, 12, 13} else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def _or_unknown(value: Any) -> str:
    return f"({_UNKNOWN})" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _short_hash(digest: str | None) -> str:
    return _UNKNOWN if not digest else digest[:12]


def _to_latex(text: str) -> str:
    """Text with its special characters escaped and its citations as commands."""
    pieces = _CITATION.split(text.replace(" [@", "[@"))
    return "".join(
        f"~\\cite{{{piece}}}" if i % 2 else "".join(_LATEX.get(letter, letter) for letter in piece)
        for i, piece in enumerate(pieces)
    )
