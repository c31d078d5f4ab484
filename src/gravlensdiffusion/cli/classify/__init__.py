"""``gravlens classify``: a classifier of labelled images, and what it says of others."""

COMMANDS = {
    "train": ("classify.train", "Train a classifier on labelled images."),
    "predict": ("classify.predict", "Write the probability of each class for each image."),
    "score": ("classify.score", "Say how good a classifier is on labelled images."),
}
"""Module in `cli` and summary of each command."""
