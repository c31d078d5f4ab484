"""Parts of `benchmarks/augmentation.py`."""
