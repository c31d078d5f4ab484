"""Models on disk."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from gravlensdiffusion.config.model import TransformConfig
from gravlensdiffusion.config.network import LensEquationConfig
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.build import Model, build_model, least_size
from gravlensdiffusion.model.checkpoint import load_model, save_model, write_folder
from gravlensdiffusion.model.folders import checkpoints
from gravlensdiffusion.nn.reference import ReferenceUNet
from gravlensdiffusion.presets.training import PRESETS
from gravlensdiffusion.training.diffusion import train
from tests.models import ORDERED, PRIOR, awake
from tests.sources import rings, tiny


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short finished run."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    train(tiny(), rings(), folder, device="cpu")
    return folder


def same(first: Model, second: Model, atol: float = 0.0) -> bool:
    """Whether two models have the same state."""
    a, b = first.state_dict(), second.state_dict()
    return a.keys() == b.keys() and all(torch.allclose(a[k], b[k], 0, atol) for k in a)


def test_a_run_is_read_from_its_last_checkpoint_with_averaged_weights(run: Path) -> None:
    last = checkpoints(run)[-1].folder
    model = load_model(run)
    assert same(model, load_model(last))
    average = load_file(last / "ema.safetensors")
    assert all(torch.equal(model.state_dict()[name], average[name]) for name in average)
    assert not model.training


def test_a_run_before_its_first_checkpoint_is_called_one(run: Path, tmp_path: Path) -> None:
    young = tmp_path / "young"
    shutil.copytree(run, young, ignore=shutil.ignore_patterns("checkpoints"))
    with pytest.raises(GravLensError, match=r"young: a run without a checkpoint$"):
        load_model(young)


def test_a_saved_model_comes_back(run: Path, tmp_path: Path) -> None:
    model = load_model(run)
    save_model(tmp_path / "whole", model)
    assert same(model, load_model(tmp_path / "whole"))
    save_model(tmp_path / "half", model, half=True)
    half = load_model(tmp_path / "half")
    assert same(model, half, atol=2e-3)
    assert not same(model, half)
    assert torch.equal(half.transform.mean, model.transform.mean)
    sizes = [(tmp_path / n / "model.safetensors").stat().st_size for n in ("half", "whole")]
    assert sizes[0] < 0.7 * sizes[1]


@pytest.mark.parametrize("half", [False, True])
def test_what_can_be_ordered_comes_back_to_the_last_bit(half: bool, tmp_path: Path) -> None:
    model = awake()
    save_model(tmp_path / "ordered", model, half=half)
    loaded = load_model(tmp_path / "ordered")
    assert loaded.config == ORDERED
    assert torch.equal(loaded.prior, torch.tensor(PRIOR))
    assert same(model, loaded, atol=2e-3 if half else 0.0)


def test_a_folder_called_as_a_bundled_model_is_had_by_its_path(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_model(Path("lens64"), load_model(run))
    assert load_model(Path("lens64")).config.image_size == load_model(run).config.image_size == 8
    assert load_model("./lens64").config.image_size == 8
    assert load_model("lens64").config.image_size == 64


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(AttributeError):
        write_folder(tmp_path / "model", {"config.json": b"{}", "bad": 3})  # type: ignore[dict-item]
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_the_reference_project_is_read(tmp_path: Path) -> None:
    net = ReferenceUNet()
    torch.save(net.state_dict(), tmp_path / "model_checkpoint.pth")
    model = load_model(tmp_path / "model_checkpoint.pth")
    assert model.config == PRESETS["reference"]().model
    for name, value in net.state_dict().items():
        assert torch.equal(model.network.state_dict()[name], value), name


def damaged(run: Path, tmp_path: Path) -> Path:
    """Return a copy of the last checkpoint, to be damaged."""
    folder = tmp_path / "copy"
    shutil.copytree(checkpoints(run)[-1].folder, folder)
    return folder


def test_damaged_weights_are_named(run: Path, tmp_path: Path) -> None:
    folder = damaged(run, tmp_path)
    weights = folder / "ema.safetensors"
    tensors = load_file(weights)
    head = tensors.pop("network.head.weight")
    save_file(tensors, weights)
    with pytest.raises(GravLensError, match=r"tensor 'network\.head\.weight' is missing"):
        load_model(folder)
    save_file({**tensors, "network.head.weight": head[:, :2].contiguous()}, weights)
    with pytest.raises(GravLensError, match="shape"):
        load_model(folder)
    save_file({**tensors, "network.head.weight": head, "more": head.clone()}, weights)
    with pytest.raises(GravLensError, match="'more' is not part of this model"):
        load_model(folder)
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(GravLensError, match="not a readable weights file"):
        load_model(folder)


def test_damaged_configurations_are_named(run: Path, tmp_path: Path) -> None:
    folder = damaged(run, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "surprise": 1}))
    with pytest.raises(GravLensError, match="surprise"):
        load_model(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(GravLensError, match=r"config\.json"):
        load_model(folder)


def test_what_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(GravLensError, match="no model 'lens29'"):
        load_model("lens29")
    with pytest.raises(GravLensError, match=r"no config\.json and no checkpoint"):
        load_model(tmp_path)


def test_weights_do_not_stand_in_a_file_twice() -> None:
    model = build_model(PRESETS["reference"]().model)
    assert {name.split(".")[0] for name in model.state_dict()} == {"network", "transform"}


@pytest.mark.parametrize(
    "changes",
    [
        {"refine_channels": 4096},
        {"patch": 8, "channels": [4096], "num_blocks": 1},
        {"patch": 8, "lens_equation": {"pixel_scale_arcsec": 0.1}, "channels": [2048]},
    ],
)
def test_a_configuration_of_a_larger_model_is_refused_before_it_is_built(
    run: Path, tmp_path: Path, changes: dict[str, object]
) -> None:
    folder = tmp_path / "model"
    save_model(folder, awake())
    config = json.loads((folder / "config.json").read_text())
    config["network"] |= {"attention_levels": []} | changes
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(GravLensError, match="too few for a model"):
        load_model(folder)


def test_the_least_size_of_a_model_is_no_more_than_its_size() -> None:
    network = replace(
        ORDERED.network,
        patch=2,
        refine_channels=8,
        lens_equation=LensEquationConfig(pixel_scale_arcsec=0.1),
    )
    fitted = TransformConfig(kind="linear", gain=1.0)
    presets = [replace(preset().model, transform=fitted) for preset in PRESETS.values()]
    for config in (ORDERED, replace(ORDERED, network=network), *presets):
        model = awake(config) if config.prior_size else build_model(config)
        size = sum(tensor.numel() for tensor in model.state_dict().values())
        assert least_size(config) <= size


def test_a_model_beyond_all_measure_is_not_built() -> None:
    with pytest.raises(GravLensError, match="numbers or more is asked for"):
        build_model(replace(ORDERED, network=replace(ORDERED.network, channels=(65536,))))
