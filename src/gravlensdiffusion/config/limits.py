"""How large a model may be that a file describes; what is larger is a mistake, or malice."""

MAX_SIDE = 4096
"""Pixels a side of the largest image that is drawn."""
MAX_BANDS = 64
MAX_NUMBER = 1e100
"""Numbers up to this can be squared."""
MAX_LEVELS = 16
MAX_CHANNELS = 2**16
MAX_BLOCKS = 256
MAX_STEPS = 100_000
MAX_SUPERSAMPLING = 4
MAX_WEIGHTS = 2**30
"""Numbers that a model may consist of: 4 GB, a hundred times the largest preset and more."""
MAX_ROWS = 2**20
MAX_CLASSES = 2**15 - 1
"""Labels are numbers of 16 bits."""
