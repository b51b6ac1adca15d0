"""Who a drawn face is, and what it shows.

Not a likeness of anybody. A `Head` is one identity; a `Pose` is a facial expression in a few
movements, named after the action units that the prototypes of the Radboud Faces Database are made of
(Langner et al. 2010; Ekman, Friesen, Hager, FACS, 2002).

Lengths are in units of the head: the origin between the cheeks, the chin near y = 1, x to the right
of the picture, y down.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

Colour = tuple[int, int, int]  # RGB


@dataclass(frozen=True, slots=True)
class Pose:
    """How far each part of the face has moved; all zero is at rest."""

    inner: float = 0  # inner brow up, AU1; down, AU4
    outer: float = 0  # outer brow up, AU2
    knit: float = 0  # brows drawn together, AU4
    lid: float = 0  # upper lid up, AU5; down, AU43
    squint: float = 0  # lower lid up, AU7 and AU6
    width: float = 0  # mouth wider, AU20; narrower, AU18
    curve: float = 0  # lip corners up, AU12; down, AU15
    gape: float = 0  # lips and jaw apart, AU25 to AU27
    upper: float = 0  # upper lip up, AU10
    press: float = 0  # lips thin, AU23 and AU24
    wrinkle: float = 0  # nose wrinkled, AU9
    cheek: float = 0  # fold from nose to mouth, AU6 and AU11
    smirk: float = 0  # one lip corner back and up, AU14

    def scaled(self, strength: float, slip: tuple[float, ...]) -> Pose:
        """A weaker or stronger one, each movement off by a share `slip` of it."""
        moves = zip(fields(self), slip, strict=True)
        return Pose(*(getattr(self, f.name) * strength * (1 + s) for f, s in moves))


#: The prototypes. Contempt is one small movement and fear lies near surprise, so that both are
#: harder than happiness, as with people.
POSES: Final = {
    "neutral": Pose(),
    "happiness": Pose(lid=-0.1, squint=0.45, width=0.12, curve=0.19, gape=0.15, cheek=0.9),
    "surprise": Pose(inner=0.15, outer=0.15, lid=0.55, width=-0.09, gape=0.3),
    "sadness": Pose(inner=0.13, outer=-0.06, knit=0.05, lid=-0.35, width=-0.03, curve=-0.13, press=0.2),
    "anger": Pose(
        inner=-0.13, outer=0.04, knit=0.07, lid=0.15, squint=0.45, width=-0.03, curve=-0.04, press=0.8
    ),
    "disgust": Pose(
        inner=-0.09,
        outer=-0.04,
        lid=-0.15,
        squint=0.6,
        curve=-0.07,
        gape=0.05,
        upper=0.1,
        wrinkle=1,
        cheek=0.8,
    ),
    "fear": Pose(inner=0.13, outer=0.09, knit=0.035, lid=0.5, width=0.03, curve=-0.03, gape=0.16),
    "contempt": Pose(lid=-0.1, smirk=1.0),
}


@dataclass(frozen=True, slots=True)
class Head:
    """One identity."""

    group: str  # as RaFD's file names have it
    gender: str
    width: float  # half of the head's
    jaw: float  # 0 pointed .. 1 square
    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour
    length: float  # of the hair below the ear
    hairline: float  # height of the forehead's upper end
    eye: float  # half width of an eye
    round: float  # height of an eye by its width
    apart: float  # eye to the middle
    brow: float  # height above the eye
    slant: float  # of the brow at rest
    thick: float  # of the brow
    nose: float  # half width
    tip: float  # height of the nose's tip
    mouth: float  # half width
    lip: float  # thickness
    rest: float  # corners at rest
    vigour: float  # how strongly this person shows what is asked
    side: int  # the corner that smirks: -1 or 1


_SKINS: Final = ((236, 196, 172), (226, 178, 148), (205, 152, 118), (172, 120, 88))
_HAIRS: Final = ((38, 28, 24), (74, 48, 32), (120, 84, 50), (188, 150, 92), (150, 80, 44))
_IRISES: Final = ((70, 44, 28), (92, 116, 140), (84, 104, 70), (48, 34, 26))


def make_head(group: str, gender: str, rng: np.random.Generator) -> Head:
    """An identity drawn by lot, within what is usual in the group."""
    kid, female, dark = group == "Kid", gender == "female", group == "Moroccan"

    def near(mean: float, spread: float) -> float:
        return float(mean + spread * rng.uniform(-1, 1))

    skin = _jitter(_SKINS[int(rng.integers(2, 4) if dark else rng.integers(0, 2))], 10, rng)
    return Head(
        group=group,
        gender=gender,
        width=near(0.76 if kid else 0.70, 0.06),
        jaw=near(0.35 if female or kid else 0.65, 0.25),
        skin=skin,
        hair=_jitter(_HAIRS[int(rng.integers(0, 2 if dark else len(_HAIRS)))], 10, rng),
        iris=_IRISES[int(rng.integers(0, len(_IRISES)))],
        lips=mix(skin, (170, 60, 66), near(0.62 if female else 0.45, 0.12)),
        length=near(0.75, 0.35) if female else near(0.0, 0.1),
        hairline=near(-0.66, 0.1),
        eye=near(0.18 if kid else 0.16, 0.02),
        round=near(0.46, 0.08),
        apart=near(0.33, 0.03),
        brow=near(0.22, 0.035),
        slant=near(0, 0.03),
        thick=near(0.05 if female or kid else 0.07, 0.015),
        nose=near(0.11 if female or kid else 0.135, 0.02),
        tip=near(0.22, 0.05),
        mouth=near(0.25, 0.035),
        lip=near(0.065, 0.018),
        rest=near(0, 0.022),
        vigour=near(0.95, 0.2),
        side=int(rng.choice((-1, 1))),
    )


def mix(one: Colour, two: Colour, share: float) -> Colour:
    """A colour between two: the first where `share` is 0."""
    r, g, b = (round(a + (c - a) * share) for a, c in zip(one, two, strict=True))
    return r, g, b


def _jitter(colour: Colour, spread: float, rng: np.random.Generator) -> Colour:
    r, g, b = (int(min(255, max(0, c + rng.uniform(-spread, spread)))) for c in colour)
    return r, g, b
