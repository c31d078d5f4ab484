from collections.abc import Callable
from multiprocessing import forkserver

import pytest

from tests.faults.commands import TRAIN, Command
from tests.faults.harness import Killing

Prepare = Callable[[Command], Killing]


@pytest.fixture(scope="session")
def prepare(tmp_path_factory: pytest.TempPathFactory) -> Prepare:
    """Return what lets a command run unbroken once, and remembers it."""
    base, known = tmp_path_factory.mktemp("faults"), dict[str, Killing]()

    def make(command: Command) -> Killing:
        if command.name not in known:
            known[command.name] = Killing(command, base / command.name)
        return known[command.name]

    return make


@pytest.fixture
def training(prepare: Prepare) -> Killing:
    return prepare(TRAIN)


@pytest.fixture(scope="session", autouse=True)
def started_here() -> None:
    """Start the server of forks in this folder: elsewhere `tests` may be another package."""
    forkserver.ensure_running()
