"""Another model card into an ONNX file, every other byte of it as it was.

An ONNX file is one protocol buffer message: fields one after the other, each a tag, a length and its bytes
(protobuf.dev, "Encoding"). The card is one entry of field 14, `metadata_props` (onnx.proto, `ModelProto`); so
that the graph with its weights is copied without being read, and no package is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mien.card import CARD_KEY, ModelCard
from mien.errors import ModelError

_METADATA: Final = 14  # ModelProto.metadata_props, a StringStringEntryProto: 1 key, 2 value
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types


def with_card(model: bytes, card: ModelCard) -> bytes:
    """The bytes of an ONNX file with `card` in place of the card it had.

    Raises:
        ModelError: the bytes are not a protocol buffer message.
    """
    kept = [model[start:end] for start, end, is_card in _fields(model) if not is_card]
    entry = _field(1, CARD_KEY.encode()) + _field(2, card.to_json().encode())
    return b"".join([*kept, _field(_METADATA, entry)])


def _fields(message: bytes) -> Iterator[tuple[int, int, bool]]:
    """Where each field begins and ends, and whether it is the card."""
    at, start_of_key = 0, _field(1, CARD_KEY.encode())
    while at < len(message):
        tag, inside = _read_varint(message, at)
        end = _end(message, inside, tag & 7)
        content = message[_read_varint(message, inside)[1] : end] if tag == _tag(_METADATA) else b""
        yield at, end, content.startswith(start_of_key)
        at = end


def _end(message: bytes, at: int, wire: int) -> int:
    """The end of a field whose value begins at `at`."""
    if wire == _VARINT:
        return _read_varint(message, at)[1]
    if wire == _BYTES:
        length, at = _read_varint(message, at)
    else:
        length = {_FIXED64: 8, _FIXED32: 4}.get(wire, len(message) + 1)
    if at + length > len(message):
        raise _broken(at)
    return at + length


def _read_varint(message: bytes, at: int) -> tuple[int, int]:
    """A number, seven bits a byte, the lowest first, and the place after it."""
    value = shift = 0
    while at < len(message):
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise _broken(at)


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _tag(number: int) -> int:
    return number << 3 | _BYTES


def _field(number: int, content: bytes) -> bytes:
    return _varint(_tag(number)) + _varint(len(content)) + content


def _broken(at: int) -> ModelError:
    return ModelError(
        f"expected an ONNX file, its fields break off at byte {at}; is it whole? "
        "export it again with `mien export`"
    )
