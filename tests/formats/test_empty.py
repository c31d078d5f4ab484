from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gravlensdiffusion import LensClassifier, balance, evaluate, train
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.lens_set import LensSet
from tests.balancing.sets import save_set, tiny

Use = Callable[[LensSet, LensSet, Path], object]


@pytest.mark.parametrize(
    "use",
    [
        pytest.param(lambda none, some, _: evaluate(none, some), id="generated"),
        pytest.param(lambda none, some, _: evaluate(some, none), id="reference"),
        pytest.param(
            lambda none, some, _: evaluate(some, some, reference2=none), id="second reference"
        ),
        pytest.param(lambda none, some, _: evaluate(some, some, train=none), id="copies"),
        pytest.param(lambda none, _, out: balance(none, tiny(), out / "b.h5"), id="balance"),
        pytest.param(lambda none, *_: LensClassifier().fit(none), id="classifier"),
        pytest.param(lambda none, _, out: train("lens28", none, out / "run"), id="train"),
    ],
)
def test_a_set_without_images_is_refused_at_every_door(use: Use, tmp_path: Path) -> None:
    some = save_set(tmp_path / "some.h5")
    with pytest.raises(GravLensError, match="the set is empty"):
        use(some.select(np.arange(0)), some, tmp_path)
