"""The FID Inception network: its size, its input, and what it refuses to read."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.metrics.inception import (
    POOLS,
    FIDInception,
    inception_features,
    normalise,
)
from tests.metrics.inception_files import (
    random_state,
    take_for_packaged,
    write_packaged,
    write_random_weights,
)

IMAGES = np.random.default_rng(0).random((5, 1, 28, 28))


@pytest.fixture(scope="module")
def network(tmp_path_factory) -> FIDInception:
    return FIDInception.load(
        write_random_weights(tmp_path_factory.mktemp("weights") / "random.pth")
    )


def test_it_has_the_weights_of_inception_v3(network):
    # torchvision's Inception v3 has 21,785,568 parameters besides its two classifiers. The public file
    # has 566 entries, two of them for its classes.
    bare = FIDInception()
    assert sum(p.numel() for p in bare.parameters()) == 21_785_568
    assert len(bare.state_dict()) == 566 - 2
    assert not any(p.requires_grad for p in network.parameters())


def test_normalisations_are_folded_into_the_convolutions(network):
    bare = FIDInception()
    bare.load_state_dict(random_state(0))
    with torch.inference_mode():
        expected = bare.eval()(normalise(torch.from_numpy(IMAGES[:1]).float())).numpy()
    assert not any("bn" in name for name in network.state_dict())
    features = inception_features(network, IMAGES[:1])
    assert np.abs(features - expected).max() < 1e-5 * expected.max()


def test_blocks_have_the_sizes_of_the_paper(network):
    shapes = {}
    for name, module in network.named_children():
        module.register_forward_hook(
            lambda _, __, output, name=name: shapes.update({name: tuple(output.shape[1:])})
        )
    features = inception_features(network, IMAGES[:1])
    assert features.shape == (1, 2048)
    assert shapes["Conv2d_4a_3x3"] == (192, 71, 71)
    assert shapes["Mixed_5b"] == (256, 35, 35)
    assert shapes["Mixed_5d"] == (288, 35, 35)
    assert shapes["Mixed_6a"] == shapes["Mixed_6e"] == (768, 17, 17)
    assert shapes["Mixed_7a"] == (1280, 8, 8)
    assert shapes["Mixed_7c"] == (2048, 8, 8)


def test_features_do_not_depend_on_the_batch(network):
    together = inception_features(network, IMAGES)
    assert together.dtype == np.float32
    assert together.std(axis=0).max() > 0.01  # images differ
    for size in (1, 2):
        parts = [IMAGES[k : k + size] for k in range(0, len(IMAGES), size)]
        one = np.concatenate([inception_features(network, part) for part in parts])
        assert np.allclose(one, together, rtol=1e-4, atol=1e-5)


def test_grey_is_three_equal_channels(network):
    grey = inception_features(network, IMAGES[:1])
    colour = inception_features(network, IMAGES[:1].repeat(3, axis=1))
    assert np.allclose(grey, colour, rtol=1e-5, atol=1e-6)


def interpolated(image: np.ndarray, y: float, x: float) -> float:
    """Return the image at a point, linear between pixel centres and constant beyond the last."""
    last = len(image) - 1
    y, x = min(max(y, 0), last), min(max(x, 0), last)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, last), min(left + 1, last)
    above = image[top, left] + (x - left) * (image[top, right] - image[top, left])
    below = image[bottom, left] + (x - left) * (image[bottom, right] - image[bottom, left])
    return above + (y - top) * (below - above)


@pytest.mark.parametrize("size", [28, 150, 400])
def test_input_is_resized_and_scaled_as_by_pytorch_fid(size):
    image = np.random.default_rng(1).random((1, 1, size, size), dtype=np.float32)
    shown = normalise(torch.from_numpy(image)).numpy()
    assert shown.shape == (1, 3, 299, 299)
    # Pixel i of 299 is centred at (i + 0.5) size / 299 - 0.5 of the old pixels. Larger images are
    # interpolated at these points, not averaged.
    for i, j in ((0, 0), (1, 298), (150, 77), (298, 298), (12, 200)):
        value = interpolated(
            image[0, 0], (i + 0.5) * size / 299 - 0.5, (j + 0.5) * size / 299 - 0.5
        )
        assert np.allclose(shown[0, :, i, j], 2 * value - 1, atol=1e-5)


def test_pooling_of_the_fid_network():
    x = torch.arange(16, dtype=torch.float32).reshape(1, 1, 4, 4)
    # The corner has four pixels of the image in its window; the padding is not counted.
    assert POOLS["average"](x)[0, 0, 0, 0] == (0 + 1 + 4 + 5) / 4
    assert POOLS["average"](x)[0, 0, 1, 1] == x[0, 0, :3, :3].mean()
    assert POOLS["maximum"](x)[0, 0, 0, 0] == 5
    assert POOLS["maximum"](x).shape == x.shape
    assert POOLS["shrink"](x).tolist() == [[[[10.0]]]]


def test_only_the_last_block_pools_by_the_maximum(network):
    kinds = {
        name: [step for branch in module.branches for step in branch if isinstance(step, str)]
        for name, module in network.named_children()
        if name.startswith("Mixed")
    }
    assert kinds.pop("Mixed_7c") == ["maximum"]
    assert kinds.pop("Mixed_6a") == kinds.pop("Mixed_7a") == ["shrink"]
    assert set(map(tuple, kinds.values())) == {("average",)}


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_precision_and_counters_of_the_file_do_not_matter(tmp_path, network, dtype):
    state = {
        name: tensor.to(dtype)
        for name, tensor in random_state(0).items()
        if not name.endswith("num_batches_tracked")
    }
    torch.save(state, tmp_path / "other.pth")
    other = FIDInception.load(tmp_path / "other.pth")
    one, same = other.Mixed_7c.branch1x1.conv.weight, network.Mixed_7c.branch1x1.conv.weight
    assert one.dtype == torch.float32
    assert torch.allclose(one, same, atol=1e-3)


def _shape(state):
    state["Mixed_6b.branch7x7_2.conv.weight"] = torch.zeros(128, 128, 7, 1)


def _nan(state):
    state["Mixed_5b.branch1x1.bn.bias"][7] = torch.nan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("Mixed_7c.branch_pool.bn.bias"), "bn.bias' is missing"),
        (
            lambda state: state.update({"AuxLogits.fc.bias": torch.zeros(1000)}),
            "'AuxLogits.fc.bias' is not part of it",
        ),
        (_shape, r"\(128, 128, 7, 1\), expected floating point \(128, 128, 1, 7\)"),
        (_nan, "'Mixed_5b.branch1x1.bn.bias' holds values that are not finite"),
    ],
)
def test_other_weights_are_refused(tmp_path, change, message):
    state = random_state(0)
    change(state)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(GravLensError, match=message):
        FIDInception.load(tmp_path / "w.pth")


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_code_in_the_file_is_never_run(tmp_path):
    torch.save({"fc.bias": Bomb(tmp_path / "ran")}, tmp_path / "bomb.pth")
    with pytest.raises(GravLensError, match=r"bomb\.pth: holds Python objects or code"):
        FIDInception.load(tmp_path / "bomb.pth")
    assert not (tmp_path / "ran").exists()


def test_the_packaged_file_is_read_as_data(tmp_path, monkeypatch):
    state = random_state(1)
    for name in state:
        if name.endswith("bn.weight"):
            state[name] = torch.ones_like(state[name])
    torch.save(state, tmp_path / "state.pth")
    bomb = pickle.dumps(Bomb(tmp_path / "ran"))
    others = {"data.pkl": bomb, "constants.pkl": bomb, "code/__torch__/net.py": b"raise SystemExit"}
    path = write_packaged(tmp_path / "default_1.pt", state, others)
    with pytest.raises(GravLensError, match=r"default_1\.pt: holds Python objects or code"):
        FIDInception.load(path)  # it is not the file that is known
    take_for_packaged(monkeypatch, path)
    packaged, expected = FIDInception.load(path), FIDInception.load(tmp_path / "state.pth")
    for name, tensor in expected.state_dict().items():
        assert torch.equal(packaged.state_dict()[name], tensor), name
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file"),
        (2**40, "more than the limit"),
        (b"", "not a readable file of weights"),
        (b"<html>Not found</html>", "not a readable file of weights|which is refused"),
        (pickle.dumps([1, 2]), "not a bare state dict|not a readable|which is refused"),
    ],
)
def test_what_is_no_file_of_weights_is_one_line(tmp_path, content, message):
    path = tmp_path / "w.pth"
    if isinstance(content, int):
        path.touch()
        os.truncate(path, content)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(GravLensError, match=message) as caught:
        FIDInception.load(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.full((1, 1, 28, 28), 255.0), r"values in \[0, 1\]"),
        (np.full((1, 1, 28, 28), np.nan), r"values in \[0, 1\]"),
    ],
)
def test_images_are_checked(network, images, message):
    with pytest.raises(GravLensError, match=message):
        inception_features(network, images)
