"""``gravlens`` that notes how many images this process measures: ``counting.py FOLDER WORDS...``."""

import sys
from pathlib import Path
from unittest.mock import patch

from gravlensdiffusion.cli.main import main
from gravlensdiffusion.evaluation import measure
from gravlensdiffusion.parallel import Processes

if __name__ == "__main__":
    with patch.object(measure, "_measure_block", wraps=measure._measure_block) as block:
        code = main(sys.argv[2:])
    num = [len(call.args[0]) for call in block.call_args_list]
    path = Path(sys.argv[1]) / f"measured-{Processes.launched().index}.txt"
    path.write_text(" ".join(map(str, num)))
    sys.exit(code)
