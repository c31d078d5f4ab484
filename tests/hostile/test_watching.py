"""The watch over Python sees what it is there for; in a process of its own, as it stays for ever."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostile.running import REPOSITORY

CODE = """
import json, os, sys
from pathlib import Path
from tests.hostile.watching import Watch
watch = Watch(Path.cwd())
exec(sys.argv[1])
print(json.dumps(watch.take()))
"""


@pytest.mark.parametrize(
    ("deed", "is_seen"),
    [
        ("os.system('true')", True),
        ("open('../elsewhere', 'w').close()", True),
        ("Path('../elsewhere').mkdir()", True),
        ("os.replace('here', '../elsewhere')", True),
        ("import socket; socket.socket(socket.AF_UNIX).connect_ex('nowhere')", True),
        ("open('inside', 'w').close()", False),
        ("open('../secret').close()", False),
        ("os.replace('here', 'there')", False),
        ("open(os.devnull, 'w').close()", False),
    ],
)
def test_what_is_seen(tmp_path: Path, deed: str, is_seen: bool) -> None:
    desk = tmp_path / "desk"
    desk.mkdir()
    (desk / "here").touch()
    (tmp_path / "secret").touch()
    child = subprocess.run(
        [sys.executable, "-c", CODE, deed],
        cwd=desk,
        env={"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert bool(json.loads(child.stdout)) is is_seen
