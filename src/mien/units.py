"""The movements of a face that the face network gives, by Apple's ARKit names, and what follows from them.

Of ARKit's 52 names seven do not move in the network's teacher and are left out: `_neutral`, `cheekPuff`,
`cheekSquintLeft`, `cheekSquintRight`, `jawForward`, `noseSneerLeft`, `noseSneerRight`.
"""

from __future__ import annotations

from typing import Final

#: In the order of the network's answer. Left and right are the person's own.
UNITS: Final = (
    *("browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    *("eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft"),
    *("eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight"),
    *("eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight"),
    *("jawLeft", "jawOpen", "jawRight"),
    *("mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight"),
    *("mouthFunnel", "mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft"),
    *("mouthPressRight", "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper"),
    *("mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft"),
    *("mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight"),
)

#: The parts of the face network's answer, beside one another, and how many numbers each has.
OUTPUTS: Final = {"presence": 1, "spread": 1, "landmarks": 292, "turn": 6, "units": len(UNITS)}
#: Places among its landmarks of pupils and corners of the mouth, image left first: they align faces.
ALIGN: Final = (136, 141, 22, 87)

#: Action units of FACS that are estimated, each as the mean of these movements: ARKit's own descriptions of
#: its blendshapes against the appearance changes of Ekman, Friesen and Hager, "Facial Action Coding System",
#: 2002, as M. Özel's ARKit-to-FACS sheet (2020) pairs them. AU06 (cheek raiser) and AU09 (nose wrinkler) are
#: not here: what shows them does not move in the teacher. AU25 (lips part) has no movement of its own.
ACTION_UNITS: Final[dict[str, tuple[str, ...]]] = {
    "AU01": ("browInnerUp",),
    "AU02": ("browOuterUpLeft", "browOuterUpRight"),
    "AU04": ("browDownLeft", "browDownRight"),
    "AU05": ("eyeWideLeft", "eyeWideRight"),
    "AU07": ("eyeSquintLeft", "eyeSquintRight"),
    "AU10": ("mouthUpperUpLeft", "mouthUpperUpRight"),
    "AU12": ("mouthSmileLeft", "mouthSmileRight"),
    "AU14": ("mouthDimpleLeft", "mouthDimpleRight"),
    "AU15": ("mouthFrownLeft", "mouthFrownRight"),
    "AU16": ("mouthLowerDownLeft", "mouthLowerDownRight"),
    "AU17": ("mouthShrugLower",),
    "AU18": ("mouthPucker",),
    "AU20": ("mouthStretchLeft", "mouthStretchRight"),
    "AU22": ("mouthFunnel",),
    "AU24": ("mouthPressLeft", "mouthPressRight"),
    "AU26": ("jawOpen",),
    "AU28": ("mouthRollLower", "mouthRollUpper"),
    "AU45": ("eyeBlinkLeft", "eyeBlinkRight"),
}

#: Columns of the direction of the eyes in the head.
GAZE: Final = ("gaze_x", "gaze_y")
#: Degrees that an eye is turned by a movement of 1: about the edge of what eyes do without the head.
_GAZE_REACH: Final = (45.0, 35.0)


def estimate_action_units(units: dict[str, float]) -> dict[str, float]:
    """The action units of FACS, from 0 to 1, by `ACTION_UNITS`.

    >>> estimate_action_units(dict.fromkeys(UNITS, 0.0) | {"mouthSmileLeft": 0.5})["AU12"]
    0.25
    """
    return {au: sum(units[name] for name in names) / len(names) for au, names in ACTION_UNITS.items()}


def estimate_gaze(units: dict[str, float]) -> tuple[float, float]:
    """Degrees by which the eyes are turned in the head: to the picture's left, and downwards.

    The mean of both eyes. The direction in the picture is about that of the head and this together.

    >>> estimate_gaze(dict.fromkeys(UNITS, 0.0) | {"eyeLookInLeft": 0.5, "eyeLookOutRight": 0.5})
    (22.5, 0.0)
    """
    left = (
        units["eyeLookInLeft"] + units["eyeLookOutRight"] - units["eyeLookOutLeft"] - units["eyeLookInRight"]
    )
    down = sum(units[f"eyeLookDown{side}"] - units[f"eyeLookUp{side}"] for side in ("Left", "Right"))
    return left / 2 * _GAZE_REACH[0], down / 2 * _GAZE_REACH[1]
