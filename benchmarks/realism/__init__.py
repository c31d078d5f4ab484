"""Parts of `benchmarks/real_sky.py`: how real simulated images are."""
