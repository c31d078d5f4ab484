"""The commands that the page gives away draw the same set as the page."""

import os
import subprocess

import numpy as np
import pytest

from gravlensdiffusion import LensGenerator, open_set
from gravlensdiffusion.model.checkpoint import save_model
from gravlensdiffusion.studio.order import Order
from tests.models import ORDERED, awake

ORDERS = {
    "plain": Order(num=4),
    "ordered": Order(
        num=3, label="cdm", parameters={"theta_E": 1.2, "source_x": -0.25}, seed=7, guidance=1.5
    ),
    "deep": Order(num=2, steps=5, sky_rms=0.01, exposure_s=100.0, parameters={"theta_E": 1.0}),
    "any": Order(num=2, label="any", parameters={"signal_to_noise": 20.0}),
}


CLASSES = ORDERED.class_names


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("a model") / "tiny"
    save_model(path, awake())
    return str(path)


@pytest.fixture(params=ORDERS)
def order(request):
    return ORDERS[request.param]


def drawn(order, model):
    generator = LensGenerator.from_pretrained(model)
    (batch,) = generator.generate(order.request(generator))
    return batch.images


def test_the_python_lines_draw_the_same(order, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(order.in_python(model), {})
    np.testing.assert_array_equal(open_set("lenses.h5")[:], drawn(order, model))


def in_a_shell(text, tmp_path, gravlens, monkeypatch):
    """Run all but the last line in a shell, and that here."""
    import shlex

    before, _, last = text.rpartition("\n")
    monkeypatch.chdir(tmp_path)
    subprocess.run(["sh", "-c", before], check=True, env={"PATH": os.environ["PATH"]})
    program, *words = shlex.split(last)
    assert program == "gravlens"
    ran = gravlens(*words)
    assert ran.returncode == 0, ran.stderr
    return open_set(tmp_path / "lenses")[:]


def test_the_command_draws_the_same(order, model, tmp_path, gravlens, monkeypatch):
    found = in_a_shell(order.in_shell(model, CLASSES), tmp_path, gravlens, monkeypatch)
    np.testing.assert_array_equal(found, drawn(order, model))


@pytest.mark.parametrize("label", ["axion", "any", None])
def test_shapes_are_ordered_by_a_table(model, tmp_path, gravlens, monkeypatch, label):
    monkeypatch.setattr("gravlensdiffusion.studio.order.ORDERED_BY", ("theta_E",))
    order = Order(num=4, label=label, parameters={"theta_E": 1.1, "source_x": -0.1}, seed=2)
    text = order.in_shell(model, CLASSES)
    assert "--conditions order.csv" in text
    assert "--num" not in text
    found = in_a_shell(text, tmp_path, gravlens, monkeypatch)
    np.testing.assert_array_equal(found, drawn(order, model))


def test_a_draft_takes_no_more_steps_than_the_model_asks_for(model):
    generator = LensGenerator.from_pretrained(model)
    short = generator.steps_of("draft")
    assert Order(is_draft=True).request(generator).num_steps == short
    assert Order(is_draft=True, steps=1).request(generator).num_steps == 1
    assert Order(is_draft=True, steps=50).request(generator).num_steps == short
