"""The facial movements that make an expression, and those that tell one from another.

An action unit is a movement of the face that can be seen alone (Ekman, Friesen and Hager, Facial Action
Coding System, 2002). The units of each emotion are those that the models of the Radboud Faces Database were
asked to show, after Ekman and Friesen's prototypes: Langner et al., Cognition and Emotion 24(8), 1377-1388,
2010; listed by its authors at https://facedb.blogspot.com/2008/07/model-training-and-photographing.html.

They agree with section 4 of the paper as they are: contempt has "only one action unit: the dimple", and fear
and sadness "share two action units: the brow lower and inner brow raise". Prototypes differ between sources:
EMFACS (Friesen and Ekman 1983) adds unit 12 to contempt and 7 to fear, and has 9 + 15 + 16 for disgust.
"""

from __future__ import annotations

from typing import Final

#: Number of a unit to its name.
UNITS: Final = {
    1: "inner brow raiser",
    2: "outer brow raiser",
    4: "brow lowerer",
    5: "upper lid raiser",
    6: "cheek raiser",
    7: "lid tightener",
    9: "nose wrinkler",
    10: "upper lip raiser",
    12: "lip corner puller",
    14: "dimpler",
    15: "lip corner depressor",
    17: "chin raiser",
    20: "lip stretcher",
    23: "lip tightener",
    24: "lip presser",
    25: "lips part",
    26: "jaw drop",
}
#: Emotion to its prototype.
PROTOTYPES: Final[dict[str, frozenset[int]]] = {
    "neutral": frozenset(),
    "happiness": frozenset({6, 12, 25}),
    "surprise": frozenset({1, 2, 5, 26}),
    "sadness": frozenset({1, 4, 15, 17}),
    "anger": frozenset({4, 5, 7, 17, 23, 24}),  # 23 or 24, one of the two being enough
    "disgust": frozenset({9, 10, 25}),
    "fear": frozenset({1, 2, 4, 5, 20, 25}),
    "contempt": frozenset({14}),  # on one side of the face
}


def only(first: str, second: str) -> tuple[int, ...]:
    """The units that the first of two emotions has and the second has not."""
    return tuple(sorted(PROTOTYPES[first] - PROTOTYPES[second]))


def shared(first: str, second: str) -> tuple[int, ...]:
    """The units that both have."""
    return tuple(sorted(PROTOTYPES[first] & PROTOTYPES[second]))
