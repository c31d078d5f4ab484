"""What ``gravlens train`` does where a picture cannot be drawn, or images are not square."""

from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion.cli.main import main
from gravlensdiffusion.generation.generator import LensGenerator
from gravlensdiffusion.training.diffusion import train
from gravlensdiffusion.training.run import checkpoints
from tests.sources import rings, tiny


def test_a_preview_that_cannot_be_drawn_costs_itself_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = {"cutouts28": lambda: tiny(sample_images=32)}
    monkeypatch.setattr("gravlensdiffusion.presets.training.PRESETS", recipe)
    to_flux = LensGenerator.to_flux
    monkeypatch.setattr(LensGenerator, "to_flux", lambda self, x: np.nan * to_flux(self, x))
    np.save(tmp_path / "data.npy", rings(12, size=8).images)
    out = tmp_path / "run"
    asked = ["--data", str(tmp_path / "data.npy"), "--out", str(out), "--device", "cpu"]
    assert main(["train", *asked]) == 0
    told = capsys.readouterr()
    assert told.out.startswith(f"trained {out} on 12 different images, 96 seen")
    assert told.err.count("was not drawn: model 'model' draws pixels that are not finite") == 3
    assert checkpoints(out)[-1].images_seen == 96
    assert not list(out.glob("samples/*.png"))


def test_images_that_are_not_square_are_refused_before_a_model_is_adapted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tiny(), rings(16), tmp_path / "known", device="cpu")
    np.save(tmp_path / "data.npy", rings(12, size=12).images[:, :, :9])
    asked = ["--init", str(tmp_path / "known"), "--data", str(tmp_path / "data.npy")]
    assert main(["train", *asked, "--out", str(tmp_path / "run")]) == 2
    assert "images must be square, these are 9 by 12 pixels" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
