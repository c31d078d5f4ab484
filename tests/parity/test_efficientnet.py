"""The same features as efficientnet-lite-pytorch, with the weights of its sibling package."""

import numpy as np
import pytest
import torch
from realism.efficientnet import (
    efficientnet_features,
    find_efficientnet_weights,
    load_efficientnet,
    normalise,
)

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.untrusted.state_file import read_state_dict

pytestmark = pytest.mark.parity


def test_features_are_those_of_the_package():
    theirs = pytest.importorskip("efficientnet_lite_pytorch").EfficientNet
    try:
        path = find_efficientnet_weights()
    except GravLensError as error:
        pytest.skip(str(error))
    network = theirs.from_name("efficientnet-lite0")
    network.load_state_dict(read_state_dict(path))
    y, x = np.mgrid[:60, :60] - 29.5
    ring = np.exp(-((np.hypot(x, y) - 20) ** 2) / 4)
    images = np.stack([ring, ring * (x > 0), np.random.default_rng(0).random((60, 60))])[:, None]
    with torch.inference_mode():
        shown = normalise(torch.from_numpy(images.astype(np.float32)))
        expected = network.eval().extract_features(shown).mean((2, 3)).numpy()
    assert expected.std(axis=0).max() > 0.1  # images differ
    ours = efficientnet_features(load_efficientnet(path), images)
    assert np.abs(ours - expected).max() < 1e-4 * expected.max()
