"""Bundled models, as a run gives them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from export_model import Options, main

from gravlensdiffusion import simulate, train
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.model.checkpoint import load_model
from gravlensdiffusion.store.writer import write_store
from tests.sources import tiny

SIZE = 12


def test_the_table_of_parameters_may_be_that_of_another_model(tmp_path: Path) -> None:
    lenses = simulate("deeplense", 400, 3, size=SIZE, noise_free=True, flux_unit="e-/s")
    config = tiny("lens64", total_images=16, size=SIZE)
    rows = {"even": np.arange(100), "few": np.arange(80), "other": np.argsort(lenses.labels)[::4]}
    for name, own in rows.items():
        train(config, lenses.select(own), tmp_path / name, device="cpu")
    records = [record for k, record in enumerate(lenses.records()) if k in rows["other"]]
    write_store(tmp_path / "lenses.h5", records, lenses.header)
    priors = {name: load_model(tmp_path / name).prior for name in rows}
    assert not torch.equal(priors["even"], priors["other"])
    run, data = tmp_path / "other", tmp_path / "lenses.h5"
    main(Options(run=run, data=data, out=tmp_path / "out", prior_of=str(tmp_path / "even")))
    assert torch.equal(load_model(tmp_path / "out").prior, priors["even"])
    with pytest.raises(GravLensError, match="table"):
        main(Options(run=run, data=data, out=tmp_path / "no", prior_of=str(tmp_path / "few")))
    assert not (tmp_path / "no").exists()
