"""EfficientNet-Lite0: its size, its padding, and what it refuses to read."""

import pickle
import sys

import numpy as np
import pytest
import torch
from realism.efficientnet import (
    INSTALL,
    PACKAGE,
    PACKAGED_FILE,
    EfficientNetLite,
    SameConvolution,
    efficientnet_features,
    find_efficientnet_weights,
    load_efficientnet,
    normalise,
)

from gravlensdiffusion.errors import GravLensError

IMAGES = np.random.default_rng(0).random((2, 1, 40, 40))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "random.pth"
    classes = {"_fc.weight": torch.zeros(1000, 1280), "_fc.bias": torch.zeros(1000)}
    torch.save(EfficientNetLite().state_dict() | classes, path)
    return path


def test_it_has_the_weights_of_the_public_file():
    # 4,652,008 parameters, of which 1,281,000 are those of the classes; 296 entries, two of these.
    network = EfficientNetLite()
    assert sum(p.numel() for p in network.parameters()) == 4_652_008 - 1_281_000
    assert len(network.state_dict()) == 296 - 2


def test_features_do_not_depend_on_the_batch(weights):
    network = load_efficientnet(weights)
    together = efficientnet_features(network, IMAGES)
    assert together.shape == (2, 1280)
    assert together.std(axis=0).max() > 0  # images differ
    alone = efficientnet_features(network, IMAGES, batch_size=1)
    assert np.allclose(alone, together, rtol=1e-4, atol=1e-6)


def test_odd_padding_goes_to_the_end():
    # TensorFlow: a kernel of 3 with stride 2 on 4 pixels has one row of padding, at the end.
    filter_ = SameConvolution(1, 1, 3, 2, bias=False)
    torch.nn.init.ones_(filter_.weight)
    sums = filter_(torch.arange(16.0).reshape(1, 1, 4, 4))[0, 0]
    assert sums.tolist() == [[45.0, 39.0], [66.0, 50.0]]


def test_a_grey_image_is_three_normalised_channels():
    white = normalise(torch.ones(1, 1, 8, 8))
    assert white.shape == (1, 3, 224, 224)
    expected = torch.tensor([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225])
    assert torch.allclose(white[0, :, 0, 0], expected)


def test_code_and_other_weights_are_refused(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps(print))
    with pytest.raises(GravLensError):
        load_efficientnet(path)
    torch.save({"_conv_stem.weight": torch.zeros(32, 3, 3, 3)}, path)
    with pytest.raises(GravLensError, match=r"not the weights of EfficientNet-Lite0: '.*missing"):
        load_efficientnet(path)


@pytest.mark.parametrize("images", [np.zeros((2, 3, 8, 8)), np.full((1, 1, 8, 8), 1.5)])
def test_images_of_another_range_or_shape_are_refused(weights, images):
    with pytest.raises(GravLensError, match="EfficientNet features need"):
        efficientnet_features(load_efficientnet(weights), images)


def test_weights_are_found_in_their_package_which_is_not_imported(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(GravLensError, match="come with") as caught:
        find_efficientnet_weights()
    assert INSTALL in str(caught.value)
    metadata = tmp_path / f"{PACKAGE.replace('-', '_')}-0.1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Name: {PACKAGE}\nVersion: 0.1.0\n")
    with pytest.raises(GravLensError, match="come with"):
        find_efficientnet_weights()
    path = tmp_path / PACKAGED_FILE
    path.parent.mkdir(parents=True)
    (tmp_path / PACKAGED_FILE.split("/")[0] / "__init__.py").write_text("raise SystemExit")
    path.write_bytes(b"weights")
    assert find_efficientnet_weights() == path
