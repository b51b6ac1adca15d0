"""The emotion vocabulary, its order, and the words that other corpora use for it."""

from __future__ import annotations

from typing import Final

from mien.errors import DataError

#: The eight emotions in the one order used by every array, column and card (FER+, arXiv:1608.01041).
EMOTIONS: Final = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
)

#: Spellings met in other corpora's folders and legends, to the eight.
SPELLINGS: Final = {
    "neutrality": "neutral",
    "happy": "happiness",
    "joy": "happiness",
    "surprised": "surprise",
    "suprise": "surprise",
    "sad": "sadness",
    "angry": "anger",
    "disgusted": "disgust",
    "fearful": "fear",
    "afraid": "fear",
    "scared": "fear",
    "contemptuous": "contempt",
}


def parse_emotion(word: str) -> str:
    """The emotion that `word` names, whatever its case or common spelling.

    >>> parse_emotion("Angry")
    'anger'

    Raises:
        DataError: the word names none of the eight.
    """
    key = word.strip().lower()
    key = SPELLINGS.get(key, key)
    if key not in EMOTIONS:
        raise DataError(
            f"expected one of the emotions {', '.join(EMOTIONS)} "
            f"(or a spelling of one: {', '.join(SPELLINGS)}), got {word!r}"
        )
    return key


def emotion_index(word: str) -> int:
    """The position of an emotion in `EMOTIONS`; accepts what `parse_emotion` accepts."""
    return EMOTIONS.index(parse_emotion(word))
