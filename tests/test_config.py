from dataclasses import dataclass, field

import pytest

from mien import config
from mien.config import from_toml, provenance, to_toml
from mien.errors import ConfigError


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


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000"}, 8),
        ({"cpu.max": "250000 100000"}, 3),
        ({"cpu.max": "10000 100000"}, 1),
        ({"cpu.max": "9900000 100000"}, 8),
        ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, 2),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 8),
        ({"cpu.max": "nonsense"}, 8),
    ],
)
def test_cores_are_those_that_the_container_allows(files, cores, tmp_path, monkeypatch):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    monkeypatch.setattr(config, "_CGROUPS", tmp_path)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert config.count_cores() == cores
