"""Train video-language models with an angular margin and meta-learned sample weights."""

__version__ = "0.1.0"
