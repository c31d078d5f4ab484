"""Children that stand in for `data.probe_child`, and fail at the files that say so by their name."""

import json
import os
import sys
import time


def main() -> None:
    print("ready", flush=True)  # noqa: T201
    for line in sys.stdin:
        path = str(json.loads(line)["path"])
        if "crash" in path:
            os.abort()
        if "hang" in path:
            time.sleep(60)
        print("null", flush=True)  # noqa: T201
