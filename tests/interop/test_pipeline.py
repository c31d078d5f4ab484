"""What a folder of diffusers says of a model, and what is refused of it."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from gravlensdiffusion.config.network import SchedulerConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.interop.pipeline import read_pipeline
from gravlensdiffusion.model.checkpoint import load_model
from tests.conftest import Run

WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a pipeline as its JSON files have it, without weights."""
    write(
        tmp_path / "model_index.json",
        _class_name="DDPMPipeline",
        _diffusers_version="0.30.0",
        unet=["diffusers", "UNet2DModel"],
        scheduler=["diffusers", "DDPMScheduler"],
    )
    write(
        tmp_path / "scheduler" / "scheduler_config.json",
        _class_name="DDPMScheduler",
        num_train_timesteps=500,
        beta_schedule="scaled_linear",
        beta_start=1e-3,
        trained_betas=None,
        prediction_type="v_prediction",
        clip_sample=False,
        lambda_min_clipped=float("-inf"),
    )
    write(
        tmp_path / "unet" / "config.json",
        _class_name="UNet2DModel",
        sample_size=[8, 8],
        in_channels=3,
        out_channels=3,
        block_out_channels=[8, 16],
        down_block_types=["DownBlock2D", "DownBlock2D"],
        up_block_types=["UpBlock2D", "UpBlock2D"],
        norm_num_groups=4,
        class_embed_type=None,
    )
    return tmp_path


def write(path: Path, **content: object) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


def change(path: Path, **content: object) -> None:
    write(path, **(json.loads(path.read_text()) | content))


def test_a_pipeline_is_a_model(folder: Path) -> None:
    config = read_pipeline(folder)
    assert (config.num_channels, config.image_size, config.flux_unit) == (3, 8, "full scale")
    assert (config.schedule.kind, config.schedule.num_steps) == ("scaled_linear", 500)
    assert (config.schedule.beta_min, config.schedule.beta_max) == (1e-3, 0.02)
    assert config.denoiser.prediction == "v"
    assert config.network.scheduler == SchedulerConfig(settings={"clip_sample": False})


def test_a_pipeline_may_lie_in_one_folder(folder: Path) -> None:
    expected = read_pipeline(folder)
    for path in [*folder.glob("*/*.json")]:
        path.rename(folder / path.name)
        path.parent.rmdir()
    assert read_pipeline(folder) == expected


REFUSED: dict[str, tuple[str, dict[str, Any], str]] = {
    "another pipeline": (
        "model_index.json",
        {"_class_name": "StableDiffusionPipeline"},
        "is a StableDiffusionPipeline with UNet2DModel; DDPMPipeline and DDIMPipeline",
    ),
    "code of its own": (
        "model_index.json",
        {"unet": ["my_unet", "Mine"]},
        "is a DDPMPipeline with Mine; DDPMPipeline and DDIMPipeline with UNet2DModel are opened",
    ),
    "another scheduler": (
        "model_index.json",
        {"scheduler": ["diffusers", "PNDMScheduler"]},
        "scheduler PNDMScheduler; known are DDPMScheduler",
    ),
    "another prediction": (
        "scheduler/scheduler_config.json",
        {"prediction_type": "flow_prediction"},
        "prediction_type is flow_prediction; known are epsilon",
    ),
    "betas of its own": (
        "scheduler/scheduler_config.json",
        {"trained_betas": [0.1, 0.2]},
        "scheduler_config.json",
    ),
    "no last signal": (
        "scheduler/scheduler_config.json",
        {"rescale_betas_zero_snr": True},
        "rescale_betas_zero_snr is not supported",
    ),
    "learned variances": (
        "scheduler/scheduler_config.json",
        {"variance_type": "learned_range"},
        "learned variances",
    ),
    "more steps than are made": (
        "scheduler/scheduler_config.json",
        {"num_train_timesteps": 10**9},
        "num_steps must lie between",
    ),
    "a large number": (
        "scheduler/scheduler_config.json",
        {"solver_order": 10**9},
        "settings must lie between",
    ),
    "classes": ("unet/config.json", {"num_class_embeds": 3}, "knows classes"),
    "two outputs": ("unet/config.json", {"out_channels": 6}, "out_channels must be as many"),
    "an odd block": (
        "unet/config.json",
        {"down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D"]},
        "down_block_types",
    ),
    "huge channels": (
        "unet/config.json",
        {"block_out_channels": [8, 10**7]},
        "block_out_channels must lie between",
    ),
    "a size between": ("unet/config.json", {"sample_size": 9}, "must be a multiple of 2"),
    "no size": ("unet/config.json", {"sample_size": None}, "image_size"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_told_in_one_line(name: str, folder: Path) -> None:
    path, content, expected = REFUSED[name]
    change(folder / path, **content)
    with pytest.raises(GravLensError, match=expected) as found:
        load_model(folder)
    assert str(folder) in str(found.value)


@pytest.mark.parametrize(
    ("name", "expected"),
    [("diffusion_pytorch_model.bin", "a pickle, which may run code"), (None, "not a readable")],
)
def test_pickles_are_never_opened(name: str | None, expected: str, folder: Path) -> None:
    if name is not None:
        (folder / "unet" / name).write_bytes(b"")
    with pytest.raises(GravLensError, match=expected):
        load_model(folder)


def test_other_weights_are_refused(folder: Path) -> None:
    save_file({"conv_in.weight": torch.zeros(1000, 1000)}, folder / WEIGHTS)
    with pytest.raises(GravLensError, match=r"conv_in.*bias' is missing|needs diffusers"):
        load_model(folder)


def test_few_numbers_are_refused_before_a_network_is_made(folder: Path) -> None:
    change(folder / "unet" / "config.json", block_out_channels=[8, 4096])
    save_file({"conv_in.weight": torch.zeros(1)}, folder / WEIGHTS)
    with pytest.raises(GravLensError, match="holds 1 numbers, too few"):
        load_model(folder)


def test_without_diffusers_one_line_says_how_to_get_it(
    folder: Path, gravlens: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    save_file({"conv_in.weight": torch.zeros(10**6)}, folder / WEIGHTS)
    done = gravlens("sample", "--model", folder, "--num", 1, "--out", folder / "out")
    assert done.returncode == 2
    assert "pip install diffusers" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_models_tells_what_a_pipeline_makes(folder: Path, gravlens: Run) -> None:
    done = gravlens("models", folder)
    assert "8 x 8 pixels, 3 channels, in units of full scale" in done.stdout
    assert "scheduler, 1000 steps" in done.stdout
