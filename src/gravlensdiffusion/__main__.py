"""``python -m gravlensdiffusion`` is the command ``gravlens``."""

import sys

from gravlensdiffusion.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
