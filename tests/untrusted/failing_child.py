"""Stands for the child process of `untrusted.probe`: does with each file what the file's name says."""

import json
import os
import sys
import time
from pathlib import Path


def main() -> None:
    print("ready", flush=True)  # noqa: T201
    for line in sys.stdin:
        path = Path(json.loads(line)["path"] or "import")
        if "crash" in path.name:
            os.abort()
        if "hang" in path.name:
            time.sleep(600)
        print(json.dumps("wrong" if "bad" in path.name else None), flush=True)  # noqa: T201
