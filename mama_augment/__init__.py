"""Turn a folder of videos into a balanced, accounted, captioned training set."""

__version__ = "0.1.0"
