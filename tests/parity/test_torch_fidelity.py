"""The same Inception features, FID and KID as torch-fidelity.

torch-fidelity is installed without its dependencies. It imports torchvision, but nothing of it is
needed for the network or for the distances, so an empty stand-in takes its place.
"""

import importlib
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gravlensdiffusion.metrics.features import frechet_distance
from gravlensdiffusion.metrics.inception import FIDInception
from gravlensdiffusion.metrics.kernel import kid
from tests.metrics.inception_files import write_random_weights

pytestmark = pytest.mark.parity

STAND_INS = {
    "torchvision": (),
    "torchvision.datasets": ("CIFAR10", "CIFAR100", "STL10"),
    "torchvision.transforms": (),
    "torchvision.transforms.functional": (),
}


@pytest.fixture(scope="module")
def torch_fidelity():
    """Return torch-fidelity, imported while the stand-in is there."""
    if find_spec("torch_fidelity") is None:
        pytest.skip("needs torch-fidelity, which make setup installs")
    modules = {name: ModuleType(name) for name in STAND_INS}
    for name, classes in STAND_INS.items():
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(modules[parent], child, modules[name])
        for one in classes:
            setattr(modules[name], one, type(one, (), {}))
    # It stays only as long as the import: other packages ask whether torchvision is there.
    with pytest.MonkeyPatch.context() as patch:
        for name, module in modules.items():
            patch.setitem(sys.modules, name, module)
        return importlib.import_module("torch_fidelity")


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    return write_random_weights(tmp_path_factory.mktemp("weights") / "random.pth", seed=3)


def bytes_of_images(num: int) -> torch.Tensor:
    """Return images of 299 pixels that torch-fidelity does not resize: noise, smooth, and flat."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (num, 3, 299, 299), dtype=np.uint8)
    y, x = np.mgrid[:299, :299]
    images[1] = 127 + 127 * np.sin(x / 20) * np.cos(y / 31)
    images[2] = 0
    images[2, :, 140:160, 140:160] = 255
    return torch.from_numpy(images)


def test_features_are_those_of_torch_fidelity(torch_fidelity, weights):
    images = bytes_of_images(4)
    extractor = torch_fidelity.FeatureExtractorInceptionV3(
        "inception-v3", ["2048"], feature_extractor_weights_path=str(weights)
    )
    with torch.inference_mode():
        (theirs,) = extractor(images)
        ours = FIDInception.load(weights)((images.float() - 128) / 128)
    assert theirs.std(dim=0).max() > 0.1  # images differ
    assert torch.allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_state_dict_has_the_keys_of_torch_fidelity(torch_fidelity, weights):
    extractor = torch_fidelity.FeatureExtractorInceptionV3(
        "inception-v3", ["2048"], feature_extractor_weights_path=str(weights)
    )
    theirs = {name: tensor.shape for name, tensor in extractor.state_dict().items()}
    ours = {name: tensor.shape for name, tensor in FIDInception().state_dict().items()}
    assert ours == {name: shape for name, shape in theirs.items() if not name.startswith("fc.")}


def shared_features(num: int, seed: int) -> NDArray[np.float32]:
    falling = np.arange(1, 129) ** -0.5
    features = np.random.default_rng(seed).normal(size=(num, 128)) * falling
    return np.abs(features + 0.1 * seed).astype(np.float32)


@pytest.mark.parametrize("num", [60, 500])
def test_fid_is_that_of_torch_fidelity(torch_fidelity, num):
    from torch_fidelity import metric_fid

    x, y = shared_features(num, 1), shared_features(num + 40, 2)
    statistics = [metric_fid.fid_features_to_statistics(torch.from_numpy(one)) for one in (x, y)]
    theirs = metric_fid.fid_statistics_to_metric(*statistics, verbose=False)
    # At rank 59 of 128 their eigenvalues that should be 0 add up to about 1e-6 of the distance.
    # At full rank what is left is their mean in single precision.
    tolerance = 1e-5 if num < 128 else 1e-6
    expected = theirs["frechet_inception_distance"]
    assert frechet_distance(x, y) == pytest.approx(expected, rel=tolerance)


def test_kid_is_that_of_torch_fidelity(torch_fidelity):
    from torch_fidelity import metric_kid

    x, y = shared_features(300, 1), shared_features(300, 2)
    theirs = metric_kid.kid_features_to_metric(
        torch.from_numpy(x).double(),
        torch.from_numpy(y).double(),
        kid_subsets=2,
        kid_subset_size=300,
        verbose=False,
    )
    # Where a subset holds all images, its random order plays no part.
    expected = theirs["kernel_inception_distance_mean"]
    assert kid(x, y, np.random.default_rng(0)).value == pytest.approx(expected, rel=1e-9)
    assert expected > 1e-3
