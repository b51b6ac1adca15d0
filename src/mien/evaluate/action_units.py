"""The facial movements that make an expression, and those that tell one from another.

An action unit is a movement of the face that can be seen alone (Ekman and Friesen, Facial Action Coding
System, 1978). The units of each emotion are the prototypes of EMFACS (Friesen and Ekman 1983), with two
readings of the paper's section 4 kept: contempt has "only one action unit: the dimple", and fear and sadness
"share two action units: the brow lower and inner brow raise".
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
    12: "lip corner puller",
    14: "dimpler",
    15: "lip corner depressor",
    16: "lower lip depressor",
    20: "lip stretcher",
    23: "lip tightener",
    26: "jaw drop",
}
#: Emotion to its prototype.
PROTOTYPES: Final[dict[str, frozenset[int]]] = {
    "neutral": frozenset(),
    "happiness": frozenset({6, 12}),
    "surprise": frozenset({1, 2, 5, 26}),
    "sadness": frozenset({1, 4, 15}),
    "anger": frozenset({4, 5, 7, 23}),
    "disgust": frozenset({9, 15, 16}),
    "fear": frozenset({1, 2, 4, 5, 7, 20, 26}),
    "contempt": frozenset({14}),
}


def apart(first: str, second: str) -> tuple[int, ...]:
    """The units that one of two emotions has and the other has not."""
    return tuple(sorted(PROTOTYPES[first] ^ PROTOTYPES[second]))


def shared(first: str, second: str) -> tuple[int, ...]:
    """The units that both have."""
    return tuple(sorted(PROTOTYPES[first] & PROTOTYPES[second]))
