"""A child process in which no file can grow beyond a few kilobytes, as on a disk that is full."""

import contextlib
import io
import json
import resource
import sys
from pathlib import Path

from gravlensdiffusion.cli.main import main


def run(words: list[str]) -> dict[str, object]:
    """Run one command and return its exit code and what it said."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code: object = main(words)
        except SystemExit as stop:
            code = stop.code
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is a traceback
            code = repr(error)
    return {"code": code, "said": err.getvalue()}


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
    commands = json.loads(Path(sys.argv[2]).read_text())
    sys.stdout.write(json.dumps([run(words) for words in commands]))
