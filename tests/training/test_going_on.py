"""A run goes on without the model that it started from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gravlensdiffusion import train
from gravlensdiffusion.cli.main import main
from gravlensdiffusion.codec import to_json
from gravlensdiffusion.config.training import TrainingConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.store.writer import write_store
from gravlensdiffusion.training import diffusion
from tests.sources import rings, tiny
from tests.training.adapting import own_set


@pytest.fixture
def known(tmp_path: Path) -> Path:
    train(tiny(), rings(16), tmp_path / "known", device="cpu")
    return tmp_path / "known"


@pytest.mark.parametrize("way", ["command", "python"])
def test_a_run_goes_on_where_its_start_is_gone(known: Path, tmp_path: Path, way: str) -> None:
    recipe, out = tmp_path / "recipe.json", tmp_path / "run"
    data = write_store(tmp_path / "data.h5", rings(16).records(), rings(16).header)

    def run(total_images: int) -> None:
        config = tiny(total_images=total_images)
        recipe.write_text(to_json(config))
        if way == "python":
            assert train(config, data, out, init=known, device="cpu").images_seen == total_images
            return
        words = ["train", "--preset", str(recipe), "--init", str(known), "--data", str(data)]
        assert main([*words, "--out", str(out), "--device", "cpu"]) == 0

    run(16)
    known.rename(tmp_path / "moved")
    run(32)


def test_an_adaptation_goes_on_by_its_own_recipe(
    known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[TrainingConfig] = []
    opened = diffusion.open_training

    def spied(config: TrainingConfig, *words: Any, **more: Any) -> Any:
        asked.append(replace(config, total_images=64))
        return opened(asked[-1], *words, **more)

    monkeypatch.setattr(diffusion, "open_training", spied)
    train(None, own_set(), tmp_path / "run", init=known, device="cpu")
    known.rename(tmp_path / "moved")
    train(None, own_set(), tmp_path / "run", init=known, device="cpu")
    assert asked[0] == asked[1]


def test_a_run_does_not_go_on_for_another_model(known: Path, tmp_path: Path) -> None:
    data = write_store(tmp_path / "data.h5", own_set().records(), own_set().header)
    train(tiny(total_images=16), data, tmp_path / "run", device="cpu")
    words = ["train", "--init", str(known), "--data", str(data), "--out", str(tmp_path / "run")]
    assert main([*words, "--device", "cpu"]) == 2
    with pytest.raises(GravLensError, match="holds a run with another"):
        train(None, data, tmp_path / "run", init=known, device="cpu")
