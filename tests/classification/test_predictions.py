import csv

import numpy as np
import pytest
import torch

from gravlensdiffusion.classification.predictions import predict, write_table
from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.sets.training_set import digest_of
from gravlensdiffusion.training.classifier import predict_logits
from tests.classification.networks import untrained
from tests.classification.planted import planted


def test_all_images_are_classified_in_order():
    source, done = planted(300, 0), []
    sized = source.resized(None, "area")
    found = predict(untrained(), sized, device="cpu", progress=done.append)
    assert found.logits == pytest.approx(predict_logits(untrained(), source.images), abs=1e-4)
    assert done[-1] == 300
    assert found.digest == digest_of(source)


def test_an_empty_set_and_damaged_weights_are_refused():
    empty = planted(0, 0).resized(None, "area")
    with pytest.raises(GravLensError, match="empty"):
        predict(untrained(), empty, device="cpu")
    network = untrained()
    torch.nn.init.constant_(network.squeeze.bias, torch.nan)
    with pytest.raises(GravLensError, match="weights are damaged"):
        predict(network, planted(4, 0).resized(None, "area"), device="cpu")


def test_the_table_holds_odd_names_as_they_are(tmp_path):
    names = ["a,b.npy", 'c"d.npy', "e\udcff.npy"]
    p = np.array([[0.25, 0.75], [1.0, 0.0], [0.5, 0.5]])
    write_table(tmp_path / "p.csv", names, ["no lens", "", "lens"], p, ("lens", "no lens"))
    with (tmp_path / "p.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["index", "name", "label", "p_lens", "p_no lens", "called"]
    assert rows[1] == ["0", "a,b.npy", "no lens", "0.25", "0.75", "no lens"]
    assert rows[2] == ["1", 'c"d.npy', "", "1", "0", "lens"]
    assert rows[3][1] == "e\\udcff.npy"
