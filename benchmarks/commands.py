"""What each command takes: time of a processor core, and memory, in a folder of its own.

python benchmarks/commands.py --out docs/benchmarks/commands
"""

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

COMMANDS = (
    "--help",
    "models",
    "sample --model lens28 --num 1000 --quality draft --out many",
    "sample --model lens28 --num 100 --out lenses28",
    "sample --model lens64 --num 100 --out lenses64",
    "sample --model lens150 --num 100 --out lenses150",
    "simulate --preset deeplense --num 300 --size 28 --flux-unit e-/s --jobs 1 --out simulated.h5",
    "simulate --preset euclid --num 50 --jobs 1 --out euclid.h5",
    "inspect simulated.h5",
    "train --preset cutouts28 --data simulated.h5 --epochs 1 --out run",
    "evaluate lenses28 simulated.h5 --protocol none --skip-pixel-test --out report",
    "balance simulated.h5 --model lens28 --per-class 120 --out balanced.h5",
    "classify train simulated.h5 --out classifier",
)
"""The commands, each of which may take what those before it have made."""
KIB_PER_MIB = 1024


def measure(command: str, folder: str) -> dict[str, object]:
    """Run a command; return its time [s of one core] and peak memory [MiB].

    Args:
        command: Words after ``gravlens``.
        folder: Where to run it.

    Raises:
        SystemExit: If it fails.
    """
    words = [sys.executable, "-m", "gravlensdiffusion", *shlex.split(command)]
    nowhere = subprocess.DEVNULL
    child = subprocess.Popen(words, cwd=folder, stdout=nowhere, stderr=nowhere)
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"gravlens {command}: failed")
    row = {
        "command": f"gravlens {command}",
        "core_s": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mib": usage.ru_maxrss // KIB_PER_MIB,
    }
    print(f"{row['core_s']:8} s {row['peak_mib']:6} MiB  {row['command']}", flush=True)
    return row


def table(rows: list[dict[str, object]]) -> str:
    """Return the rows as Markdown."""
    lines = ["| command | seconds of a core | MiB |", "|---|---|---|"]
    lines += [f"| `{row['command']}` | {row['core_s']} | {row['peak_mib']} |" for row in rows]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure all commands and write a table, as JSON and as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the files, without suffix")
    out = parser.parse_args().out
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(command, folder) for command in COMMANDS]
    found = {"python": platform.python_version(), "machine": platform.machine(), "rows": rows}
    out.with_suffix(".json").write_text(json.dumps(found, indent=2) + "\n")
    out.with_suffix(".md").write_text(table(rows))


if __name__ == "__main__":
    main()
