"""The reference project's U-Net: its state dict, its arithmetic, its checkpoints."""

import math
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.nn.reference import ReferenceUNet, embed_index, load_reference_state

NAMES_AND_SHAPES = """
t_proj.0.weight 128x128
t_proj.0.bias 128
t_proj.2.weight 128x128
t_proj.2.bias 128
conv_in.weight 32x1x3x3
conv_in.bias 32
downs.0.resnet_conv_first.0.0.weight 32
downs.0.resnet_conv_first.0.0.bias 32
downs.0.resnet_conv_first.0.2.weight 64x32x3x3
downs.0.resnet_conv_first.0.2.bias 64
downs.0.t_emb_layers.0.1.weight 64x128
downs.0.t_emb_layers.0.1.bias 64
downs.0.resnet_conv_second.0.0.weight 64
downs.0.resnet_conv_second.0.0.bias 64
downs.0.resnet_conv_second.0.2.weight 64x64x3x3
downs.0.resnet_conv_second.0.2.bias 64
downs.0.attention_norms.0.weight 64
downs.0.attention_norms.0.bias 64
downs.0.attentions.0.in_proj_weight 192x64
downs.0.attentions.0.in_proj_bias 192
downs.0.attentions.0.out_proj.weight 64x64
downs.0.attentions.0.out_proj.bias 64
downs.0.residual_input_conv.0.weight 64x32x1x1
downs.0.residual_input_conv.0.bias 64
downs.0.down_sample_conv.weight 64x64x4x4
downs.0.down_sample_conv.bias 64
downs.1.resnet_conv_first.0.0.weight 64
downs.1.resnet_conv_first.0.0.bias 64
downs.1.resnet_conv_first.0.2.weight 128x64x3x3
downs.1.resnet_conv_first.0.2.bias 128
downs.1.t_emb_layers.0.1.weight 128x128
downs.1.t_emb_layers.0.1.bias 128
downs.1.resnet_conv_second.0.0.weight 128
downs.1.resnet_conv_second.0.0.bias 128
downs.1.resnet_conv_second.0.2.weight 128x128x3x3
downs.1.resnet_conv_second.0.2.bias 128
downs.1.attention_norms.0.weight 128
downs.1.attention_norms.0.bias 128
downs.1.attentions.0.in_proj_weight 384x128
downs.1.attentions.0.in_proj_bias 384
downs.1.attentions.0.out_proj.weight 128x128
downs.1.attentions.0.out_proj.bias 128
downs.1.residual_input_conv.0.weight 128x64x1x1
downs.1.residual_input_conv.0.bias 128
downs.1.down_sample_conv.weight 128x128x4x4
downs.1.down_sample_conv.bias 128
downs.2.resnet_conv_first.0.0.weight 128
downs.2.resnet_conv_first.0.0.bias 128
downs.2.resnet_conv_first.0.2.weight 256x128x3x3
downs.2.resnet_conv_first.0.2.bias 256
downs.2.t_emb_layers.0.1.weight 256x128
downs.2.t_emb_layers.0.1.bias 256
downs.2.resnet_conv_second.0.0.weight 256
downs.2.resnet_conv_second.0.0.bias 256
downs.2.resnet_conv_second.0.2.weight 256x256x3x3
downs.2.resnet_conv_second.0.2.bias 256
downs.2.attention_norms.0.weight 256
downs.2.attention_norms.0.bias 256
downs.2.attentions.0.in_proj_weight 768x256
downs.2.attentions.0.in_proj_bias 768
downs.2.attentions.0.out_proj.weight 256x256
downs.2.attentions.0.out_proj.bias 256
downs.2.residual_input_conv.0.weight 256x128x1x1
downs.2.residual_input_conv.0.bias 256
mids.0.resnet_conv_first.0.0.weight 256
mids.0.resnet_conv_first.0.0.bias 256
mids.0.resnet_conv_first.0.2.weight 256x256x3x3
mids.0.resnet_conv_first.0.2.bias 256
mids.0.resnet_conv_first.1.0.weight 256
mids.0.resnet_conv_first.1.0.bias 256
mids.0.resnet_conv_first.1.2.weight 256x256x3x3
mids.0.resnet_conv_first.1.2.bias 256
mids.0.t_emb_layers.0.1.weight 256x128
mids.0.t_emb_layers.0.1.bias 256
mids.0.t_emb_layers.1.1.weight 256x128
mids.0.t_emb_layers.1.1.bias 256
mids.0.resnet_conv_second.0.0.weight 256
mids.0.resnet_conv_second.0.0.bias 256
mids.0.resnet_conv_second.0.2.weight 256x256x3x3
mids.0.resnet_conv_second.0.2.bias 256
mids.0.resnet_conv_second.1.0.weight 256
mids.0.resnet_conv_second.1.0.bias 256
mids.0.resnet_conv_second.1.2.weight 256x256x3x3
mids.0.resnet_conv_second.1.2.bias 256
mids.0.attention_norms.0.weight 256
mids.0.attention_norms.0.bias 256
mids.0.attentions.0.in_proj_weight 768x256
mids.0.attentions.0.in_proj_bias 768
mids.0.attentions.0.out_proj.weight 256x256
mids.0.attentions.0.out_proj.bias 256
mids.0.residual_input_conv.0.weight 256x256x1x1
mids.0.residual_input_conv.0.bias 256
mids.0.residual_input_conv.1.weight 256x256x1x1
mids.0.residual_input_conv.1.bias 256
mids.1.resnet_conv_first.0.0.weight 256
mids.1.resnet_conv_first.0.0.bias 256
mids.1.resnet_conv_first.0.2.weight 128x256x3x3
mids.1.resnet_conv_first.0.2.bias 128
mids.1.resnet_conv_first.1.0.weight 128
mids.1.resnet_conv_first.1.0.bias 128
mids.1.resnet_conv_first.1.2.weight 128x128x3x3
mids.1.resnet_conv_first.1.2.bias 128
mids.1.t_emb_layers.0.1.weight 128x128
mids.1.t_emb_layers.0.1.bias 128
mids.1.t_emb_layers.1.1.weight 128x128
mids.1.t_emb_layers.1.1.bias 128
mids.1.resnet_conv_second.0.0.weight 128
mids.1.resnet_conv_second.0.0.bias 128
mids.1.resnet_conv_second.0.2.weight 128x128x3x3
mids.1.resnet_conv_second.0.2.bias 128
mids.1.resnet_conv_second.1.0.weight 128
mids.1.resnet_conv_second.1.0.bias 128
mids.1.resnet_conv_second.1.2.weight 128x128x3x3
mids.1.resnet_conv_second.1.2.bias 128
mids.1.attention_norms.0.weight 128
mids.1.attention_norms.0.bias 128
mids.1.attentions.0.in_proj_weight 384x128
mids.1.attentions.0.in_proj_bias 384
mids.1.attentions.0.out_proj.weight 128x128
mids.1.attentions.0.out_proj.bias 128
mids.1.residual_input_conv.0.weight 128x256x1x1
mids.1.residual_input_conv.0.bias 128
mids.1.residual_input_conv.1.weight 128x128x1x1
mids.1.residual_input_conv.1.bias 128
ups.0.resnet_conv_first.0.0.weight 256
ups.0.resnet_conv_first.0.0.bias 256
ups.0.resnet_conv_first.0.2.weight 64x256x3x3
ups.0.resnet_conv_first.0.2.bias 64
ups.0.t_emb_layers.0.1.weight 64x128
ups.0.t_emb_layers.0.1.bias 64
ups.0.resnet_conv_second.0.0.weight 64
ups.0.resnet_conv_second.0.0.bias 64
ups.0.resnet_conv_second.0.2.weight 64x64x3x3
ups.0.resnet_conv_second.0.2.bias 64
ups.0.attention_norms.0.weight 64
ups.0.attention_norms.0.bias 64
ups.0.attentions.0.in_proj_weight 192x64
ups.0.attentions.0.in_proj_bias 192
ups.0.attentions.0.out_proj.weight 64x64
ups.0.attentions.0.out_proj.bias 64
ups.0.residual_input_conv.0.weight 64x256x1x1
ups.0.residual_input_conv.0.bias 64
ups.1.resnet_conv_first.0.0.weight 128
ups.1.resnet_conv_first.0.0.bias 128
ups.1.resnet_conv_first.0.2.weight 32x128x3x3
ups.1.resnet_conv_first.0.2.bias 32
ups.1.t_emb_layers.0.1.weight 32x128
ups.1.t_emb_layers.0.1.bias 32
ups.1.resnet_conv_second.0.0.weight 32
ups.1.resnet_conv_second.0.0.bias 32
ups.1.resnet_conv_second.0.2.weight 32x32x3x3
ups.1.resnet_conv_second.0.2.bias 32
ups.1.attention_norms.0.weight 32
ups.1.attention_norms.0.bias 32
ups.1.attentions.0.in_proj_weight 96x32
ups.1.attentions.0.in_proj_bias 96
ups.1.attentions.0.out_proj.weight 32x32
ups.1.attentions.0.out_proj.bias 32
ups.1.residual_input_conv.0.weight 32x128x1x1
ups.1.residual_input_conv.0.bias 32
ups.1.up_sample_conv.weight 64x64x4x4
ups.1.up_sample_conv.bias 64
ups.2.resnet_conv_first.0.0.weight 64
ups.2.resnet_conv_first.0.0.bias 64
ups.2.resnet_conv_first.0.2.weight 16x64x3x3
ups.2.resnet_conv_first.0.2.bias 16
ups.2.t_emb_layers.0.1.weight 16x128
ups.2.t_emb_layers.0.1.bias 16
ups.2.resnet_conv_second.0.0.weight 16
ups.2.resnet_conv_second.0.0.bias 16
ups.2.resnet_conv_second.0.2.weight 16x16x3x3
ups.2.resnet_conv_second.0.2.bias 16
ups.2.attention_norms.0.weight 16
ups.2.attention_norms.0.bias 16
ups.2.attentions.0.in_proj_weight 48x16
ups.2.attentions.0.in_proj_bias 48
ups.2.attentions.0.out_proj.weight 16x16
ups.2.attentions.0.out_proj.bias 16
ups.2.residual_input_conv.0.weight 16x64x1x1
ups.2.residual_input_conv.0.bias 16
ups.2.up_sample_conv.weight 32x32x4x4
ups.2.up_sample_conv.bias 32
norm_out.weight 16
norm_out.bias 16
conv_out.weight 1x16x3x3
conv_out.bias 1
"""


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
    expected = [tuple(line.split()) for line in NAMES_AND_SHAPES.strip().splitlines()]
    state = net.state_dict()
    assert [(name, "x".join(map(str, weight.shape))) for name, weight in state.items()] == expected
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
    embedding = embed_index(torch.tensor([0.0, 7.0]))
    assert embedding[0].tolist() == [0.0] * 64 + [1.0] * 64
    assert embedding[1, 0].item() == pytest.approx(math.sin(7.0))
    assert embedding[1, 64 + 32].item() == pytest.approx(math.cos(7.0 / 100))
    assert embedding[1, 63].item() == pytest.approx(math.sin(7.0 / 10000 ** (126 / 128)))


def test_a_checkpoint_is_read_back(net: ReferenceUNet, tmp_path: Path) -> None:
    torch.save(net.state_dict(), tmp_path / "model_checkpoint.pth")
    state = load_reference_state(tmp_path / "model_checkpoint.pth")
    assert list(state) == list(net.state_dict())
    assert all(torch.equal(state[name], weight) for name, weight in net.state_dict().items())
    ReferenceUNet().load_state_dict(state)


def test_half_precision_becomes_single(net: ReferenceUNet, tmp_path: Path) -> None:
    torch.save({name: w.half() for name, w in net.state_dict().items()}, tmp_path / "half.pth")
    state = load_reference_state(tmp_path / "half.pth")
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
        (lambda s: {**s, "conv_in.bias": torch.zeros(32, dtype=torch.int32)}, "int32"),
        (lambda s: {**s, "conv_in.bias": torch.full((32,), math.nan)}, "not finite"),
        (lambda s: {"model": s}, "not a bare state dict"),
        (lambda s: list(s.values()), "not a bare state dict"),
        (lambda _: torch.zeros(3), "not a bare state dict"),
        (lambda _: {}, "'t_proj.0.weight' is missing"),
    ],
)
def test_other_checkpoints_are_refused(
    net: ReferenceUNet, tmp_path: Path, change: object, word: str
) -> None:
    torch.save(change(dict(net.state_dict())), tmp_path / "other.pth")
    with pytest.raises(GravLensError, match=word) as caught:
        load_reference_state(tmp_path / "other.pth")
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
            load_reference_state(tmp_path / f"{name}.pth")
        assert "\n" not in str(caught.value)
    assert not trace.exists()


def test_a_whole_pickled_module_is_refused(net: ReferenceUNet, tmp_path: Path) -> None:
    torch.save(net, tmp_path / "module.pth")
    with pytest.raises(GravLensError, match="objects or code"):
        load_reference_state(tmp_path / "module.pth")


def test_files_that_are_no_checkpoints_are_refused(net: ReferenceUNet, tmp_path: Path) -> None:
    torch.save(net.state_dict(), tmp_path / "whole.pth")
    whole = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "truncated.pth").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.pth").write_bytes(b"")
    (tmp_path / "text.pth").write_text("not weights")
    with zipfile.ZipFile(tmp_path / "archive.pth", "w") as archive:
        archive.writestr("readme", "not weights")
    for name in ("truncated", "empty", "text", "archive"):
        with pytest.raises(GravLensError, match="not a readable PyTorch checkpoint") as caught:
            load_reference_state(tmp_path / f"{name}.pth")
        assert "\n" not in str(caught.value)
    for name in ("missing.pth", "."):
        with pytest.raises(GravLensError, match="cannot be read"):
            load_reference_state(tmp_path / name)
