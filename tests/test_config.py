from dataclasses import dataclass, field

import pytest

from mien.card import ModelCard
from mien.config import from_toml, provenance, to_toml
from mien.errors import ConfigError, ModelError
from mien.labels import EMOTIONS, emotion_index, parse_emotion


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    sizes: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class Outer:
    name: str = 'with "quotes" and é'
    on: bool = True
    inner: Inner = field(default_factory=Inner)


def test_a_config_comes_back_from_toml_as_it_went():
    config = Outer(name="x\ny", on=False, inner=Inner(1e-7, (3,)))
    assert from_toml(Outer, to_toml(config)) == config
    assert from_toml(Outer, "") == Outer()


@pytest.mark.parametrize(
    ("text", "message"),
    [("speed = 1", "expected some of name, on, inner, got speed"), ("a = = b", "could not read")],
)
def test_settings_that_are_not_there(text, message):
    with pytest.raises(ConfigError, match=message):
        from_toml(Outer, text)


def test_provenance_says_what_made_a_result():
    facts = provenance(seed=3)
    assert facts["seed"] == 3
    assert {"mien", "commit", "python", "packages", "machine", "command"} <= set(facts)


def test_a_card_comes_back_from_json_as_it_went_and_leaves_newer_keys_aside():
    card = ModelCard("x", template=((0.1, 0.2),) * 5, data=("a", "b"), temperature=1.5)
    assert ModelCard.from_json(card.to_json()) == card
    assert ModelCard.from_json(card.to_json()[:-1] + ', "newer": 1}') == card


@pytest.mark.parametrize("text", ["", "[]", '{"name": "x", "labels": ["joy"]}', '{"size": 48}'])
def test_a_card_that_is_none(text):
    with pytest.raises(ModelError, match="model card"):
        ModelCard.from_json(text)


def test_emotions_by_their_common_spellings():
    assert [parse_emotion(w) for w in ("Happy", " SAD ", "disgusted", "contempt")] == [
        "happiness",
        "sadness",
        "disgust",
        "contempt",
    ]
    assert [emotion_index(e) for e in EMOTIONS] == list(range(8))
