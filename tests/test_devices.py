"""Devices as they are named in a notebook."""

import pytest
import torch

from gravlensdiffusion.errors import GravLensError
from gravlensdiffusion.parallel import find_device


@pytest.fixture
def two_gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.fixture
def none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("auto", "cuda"),
        ("cpu", "cpu"),
        ("cuda", "cuda"),
        ("cuda:1", "cuda:1"),
        (torch.device("cuda", 1), "cuda:1"),
        (torch.device("cpu"), "cpu"),
    ],
)
def test_a_device_that_is_there_is_found(two_gpus, asked, found):
    assert find_device(asked) == found


def test_without_a_gpu_auto_is_the_processor(none):
    assert find_device("auto") == "cpu"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("cuda", "no CUDA device here; use `device` cpu or auto"),
        ("cuda:0", "no CUDA device here"),
        ("mps", "must be auto, cpu, cuda or cuda:0, got 'mps'"),
        ("gpu", "must be auto, cpu, cuda or cuda:0, got 'gpu'"),
        ("cuda:x", "got 'cuda:x'"),
        ("cuda:", "got 'cuda:'"),
        (0, "got '0'"),
        ("", "got ''"),
    ],
)
def test_one_that_is_not_is_refused_in_one_line(none, asked, words):
    with pytest.raises(GravLensError, match=words):
        find_device(asked)


def test_a_number_beyond_the_last_is_refused(two_gpus):
    with pytest.raises(GravLensError, match="no cuda:2 here; there are 2 CUDA devices"):
        find_device("cuda:2")
