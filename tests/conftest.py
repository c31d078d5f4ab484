"""What all tests share: reproducible property tests, and the command, here or in a new process."""

import os
import subprocess
import sys
from collections.abc import Callable

import hypothesis
import pytest

from gravlensdiffusion.cli.main import main

# The networks of tests are so small that threads would only wait for each other. Set before torch
# is imported, and inherited by processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

hypothesis.settings.register_profile("suite", deadline=None, derandomize=True, database=None)
# More examples, and others on each run: `make fuzz`.
hypothesis.settings.register_profile("fuzz", deadline=None, database=None, max_examples=2000)
hypothesis.settings.load_profile(os.environ.get("GRAVLENS_TEST_PROFILE", "suite"))

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run_gravlens() -> Run:
    """Return a function that runs ``gravlens`` with some words in a process of its own."""

    def run(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "gravlensdiffusion", *map(str, words)]
        return subprocess.run(command, capture_output=True, text=True, check=False, **options)

    return run


@pytest.fixture
def gravlens(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs ``gravlens`` with some words in this process."""

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        capsys.readouterr()
        code = main([*map(str, words)])
        return subprocess.CompletedProcess(words, code, *capsys.readouterr())

    return run
