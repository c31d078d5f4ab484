"""The reference project's U-Net: its state dict, its arithmetic, its checkpoints."""

import hashlib
import math
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.checkpoint import load_model
from gravlensdiffusion.nn.reference import ReferenceUNet, _embed_index
from gravlensdiffusion.untrusted.state_file import read_state_dict

NAMES_AND_SHAPES = "fd0066ef4d3e248927e30c164c0e8d20d81a8aa0830e60f6181588ccbca99d69"
"""Digest of a line for each of the 186 weights of its checkpoint, as ``conv_in.weight 32x1x3x3``."""


@pytest.fixture(scope="module")
def net() -> ReferenceUNet:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        made = ReferenceUNet().eval()
        for name, parameter in made.named_parameters():
            if "norm" in name or name.endswith("bias"):
                # Fresh norms and biases are ones and zeros, which would hide a misplaced one.
                parameter.data += 0.1 * torch.randn_like(parameter)
    return made


def group_norm(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    groups = x.unflatten(1, (8, -1))
    mean = groups.mean((2, 3, 4), keepdim=True)
    variance = groups.var((2, 3, 4), keepdim=True, correction=0)
    x = ((groups - mean) / torch.sqrt(variance + 1e-5)).flatten(1, 2)
    return x * state[f"{name}.weight"][:, None, None] + state[f"{name}.bias"][:, None, None]


def convolve(state: dict[str, Tensor], name: str, x: Tensor, **options: int) -> Tensor:
    return F.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], **options)


def residual(state: dict[str, Tensor], name: str, i: int, x: Tensor, time: Tensor) -> Tensor:
    out = F.silu(group_norm(state, f"{name}.resnet_conv_first.{i}.0", x))
    out = convolve(state, f"{name}.resnet_conv_first.{i}.2", out, padding=1)
    shift = F.silu(time) @ state[f"{name}.t_emb_layers.{i}.1.weight"].T
    shift = shift + state[f"{name}.t_emb_layers.{i}.1.bias"]
    out = F.silu(
        group_norm(state, f"{name}.resnet_conv_second.{i}.0", out + shift[..., None, None])
    )
    out = convolve(state, f"{name}.resnet_conv_second.{i}.2", out, padding=1)
    return out + convolve(state, f"{name}.residual_input_conv.{i}", x)


def attend(state: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    pixels = group_norm(state, f"{name}.attention_norms.0", x).flatten(2).transpose(1, 2)
    projected = pixels @ state[f"{name}.attentions.0.in_proj_weight"].T
    projected = projected + state[f"{name}.attentions.0.in_proj_bias"]
    q, k, v = projected.unflatten(2, (3, 4, -1)).permute(2, 0, 3, 1, 4)
    weights = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]), dim=-1)
    out = (weights @ v).transpose(1, 2).flatten(2)
    out = out @ state[f"{name}.attentions.0.out_proj.weight"].T
    out = out + state[f"{name}.attentions.0.out_proj.bias"]
    return x + out.transpose(1, 2).reshape(x.shape)


def evaluate(state: dict[str, Tensor], x: Tensor, index: Tensor) -> Tensor:
    """The network written out from the names of its weights, without its modules."""
    angle = index[:, None] / 10000 ** (2 * torch.arange(64) / 128)
    time = torch.cat([angle.sin(), angle.cos()], dim=1)
    time = F.silu(time @ state["t_proj.0.weight"].T + state["t_proj.0.bias"])
    time = time @ state["t_proj.2.weight"].T + state["t_proj.2.bias"]
    x = convolve(state, "conv_in", x, padding=1)
    skips = []
    for i in range(3):
        skips.append(x)
        x = attend(state, f"downs.{i}", residual(state, f"downs.{i}", 0, x, time))
        if i < 2:
            x = convolve(state, f"downs.{i}.down_sample_conv", x, stride=2, padding=1)
    for i in range(2):
        x = attend(state, f"mids.{i}", residual(state, f"mids.{i}", 0, x, time))
        x = residual(state, f"mids.{i}", 1, x, time)
    for i in range(3):
        if i > 0:
            weight, bias = (state[f"ups.{i}.up_sample_conv.{part}"] for part in ("weight", "bias"))
            x = F.conv_transpose2d(x, weight, bias, stride=2, padding=1)
        x = torch.cat([x, skips.pop()], dim=1)
        x = attend(state, f"ups.{i}", residual(state, f"ups.{i}", 0, x, time))
    return convolve(state, "conv_out", F.silu(group_norm(state, "norm_out", x)), padding=1)


def test_state_dict_and_size_are_those_of_the_reference_project(net: ReferenceUNet) -> None:
    state = net.state_dict().items()
    lines = [f"{name} {'x'.join(map(str, weight.shape))}" for name, weight in state]
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == NAMES_AND_SHAPES
    assert sum(parameter.numel() for parameter in net.parameters()) == 6_067_857


def test_output_is_that_of_its_operations_written_out(net: ReferenceUNet) -> None:
    source = torch.Generator().manual_seed(1)
    x, index = torch.randn(2, 1, 28, 28, generator=source), torch.tensor([3.0, 750.0])
    with torch.no_grad():
        expected = evaluate(net.state_dict(), x, index)
        assert torch.allclose(net(x, index), expected, atol=1e-5)
    assert expected.std() > 0.05


def test_other_sizes_divisible_by_four_work(net: ReferenceUNet) -> None:
    with torch.no_grad():
        assert net(torch.zeros(1, 1, 12, 20), torch.tensor([0.0])).shape == (1, 1, 12, 20)


def test_embedding_is_sines_then_cosines() -> None:
    embedding = _embed_index(torch.tensor([0.0, 7.0]))
    assert embedding[0].tolist() == [0.0] * 64 + [1.0] * 64
    assert embedding[1, 0].item() == pytest.approx(math.sin(7.0))
    assert embedding[1, 64 + 32].item() == pytest.approx(math.cos(7.0 / 100))
    assert embedding[1, 63].item() == pytest.approx(math.sin(7.0 / 10000 ** (126 / 128)))


def test_a_checkpoint_is_read_back(net: ReferenceUNet, tmp_path: Path) -> None:
    torch.save(net.state_dict(), tmp_path / "model_checkpoint.pth")
    state = load_model(tmp_path / "model_checkpoint.pth").network.state_dict()
    assert list(state) == list(net.state_dict())
    assert all(torch.equal(state[name], weight) for name, weight in net.state_dict().items())


def test_half_precision_becomes_single(net: ReferenceUNet, tmp_path: Path) -> None:
    torch.save({name: w.half() for name, w in net.state_dict().items()}, tmp_path / "half.pth")
    state = load_model(tmp_path / "half.pth").network.state_dict()
    assert {weight.dtype for weight in state.values()} == {torch.float32}


class Intruder:
    """An object whose unpickling leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.path,)


def without(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key: weight for key, weight in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda s: without(s, "conv_in.bias"), "'conv_in.bias' is missing"),
        (lambda s: {**s, "extra": torch.zeros(1)}, "'extra' is not part"),
        (lambda s: {**s, "conv_in.bias": torch.zeros(31)}, r"\(31,\), expected .* \(32,\)"),
        (lambda s: {**s, "conv_in.bias": torch.zeros(1).expand(10**13)}, r"expected .* \(32,\)"),
        (lambda s: {**s, "conv_in.bias": torch.zeros(32, dtype=torch.int32)}, "int32"),
        (lambda s: {**s, "conv_in.bias": torch.full((32,), math.nan)}, "not finite"),
        (lambda s: {"model": s}, "not a bare state dict"),
        (lambda s: list(s.values()), "not a bare state dict"),
        (lambda _: torch.zeros(3), "not a bare state dict"),
        (lambda _: {}, "is missing"),
    ],
)
def test_other_checkpoints_are_refused(
    net: ReferenceUNet, tmp_path: Path, change: object, word: str
) -> None:
    torch.save(change(dict(net.state_dict())), tmp_path / "other.pth")
    with pytest.raises(GravLensError, match=word) as caught:
        load_model(tmp_path / "other.pth")
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "other.pth") in str(caught.value)


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    torch.save({"conv_in.bias": Intruder(trace)}, tmp_path / "zip.pth")
    for protocol in (2, 4):
        content = pickle.dumps({"conv_in.bias": Intruder(trace)}, protocol=protocol)
        (tmp_path / f"bare-{protocol}.pth").write_bytes(content)
    for name, word in (("zip", "objects"), ("bare-2", "objects"), ("bare-4", "objects")):
        with pytest.raises(GravLensError, match=word) as caught:
            load_model(tmp_path / f"{name}.pth")
        assert "\n" not in str(caught.value)
    assert not trace.exists()


def test_a_whole_pickled_module_is_refused(net: ReferenceUNet, tmp_path: Path) -> None:
    torch.save(net, tmp_path / "module.pth")
    with pytest.raises(GravLensError, match="objects or code"):
        load_model(tmp_path / "module.pth")


def test_files_that_are_no_checkpoints_are_refused(net: ReferenceUNet, tmp_path: Path) -> None:
    torch.save(net.state_dict(), tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "truncated.pth").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "text.pth").write_text("not weights")
    with zipfile.ZipFile(tmp_path / "archive.pth", "w") as archive:
        archive.writestr("readme", "not weights")
    for name in ("truncated", "empty", "text", "archive"):
        with pytest.raises(GravLensError, match="not a readable file of weights") as caught:
            load_model(tmp_path / f"{name}.pth")
        assert "\n" not in str(caught.value)
    for name in ("missing.pth", "."):
        with pytest.raises(GravLensError, match="cannot be read"):
            read_state_dict(tmp_path / name)
