"""Configurations as JSON."""

import json
from dataclasses import dataclass, field

import pytest

from gravlensdiffusion.codec import from_json, to_json
from gravlensdiffusion.config.bounds import LATER
from gravlensdiffusion.config.model import ModelConfig
from gravlensdiffusion.config.network import ReferenceUNetConfig
from gravlensdiffusion.config.training import TrainingConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.presets.training import PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_presets_come_back_as_they_were(name: str) -> None:
    config = PRESETS[name]()
    assert config.preset == name
    assert from_json(TrainingConfig, to_json(config)) == config


def test_the_kind_tells_networks_apart() -> None:
    text = to_json(ModelConfig(network=ReferenceUNetConfig()))
    assert isinstance(from_json(ModelConfig, text).network, ReferenceUNetConfig)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("colour",), 1, "colour"),
        (("transform", "colour"), 1, "transform.colour"),
        (("network", "colour"), 1, "colour"),
        (("schema_version",), 2, "schema_version"),
        (("image_size",), "big", "image_size"),
        (("image_size",), 2, "model image_size must lie between 4 and 4096, got 2"),
        (("transform", "scale"), -1, "scale must be positive"),
        (("class_names",), ["a", "a"], "is there twice"),
    ],
)
def test_faults_are_named(path: tuple[str, ...], value: object, message: str) -> None:
    document = json.loads(to_json(ModelConfig()))
    inner = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    with pytest.raises(GravLensError, match=message) as caught:
        from_json(ModelConfig, json.dumps(document), source="config.json")
    assert str(caught.value).startswith("config.json: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"image_size": NaN}'])
def test_what_is_not_a_configuration(text: str) -> None:
    with pytest.raises(GravLensError):
        from_json(ModelConfig, text)


@dataclass(frozen=True)
class Part:
    width: float = 1.0
    glow: float | None = field(default=None, metadata=LATER)


@dataclass(frozen=True)
class Whole:
    parts: tuple[Part, ...] = (Part(),)


def test_a_field_that_was_added_later_is_told_only_where_it_is_used() -> None:
    before, now = Whole((Part(), Part(2.0))), Whole((Part(), Part(2.0, glow=3.0)))
    assert to_json(before, None) == '{"parts":[{"width":1.0},{"width":2.0}]}'
    assert to_json(now, None) == '{"parts":[{"width":1.0},{"width":2.0,"glow":3.0}]}'
    assert [from_json(Whole, to_json(each)) for each in (before, now)] == [before, now]
