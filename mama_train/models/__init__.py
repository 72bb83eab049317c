"""Dual encoders of video and text, their weights and tokenizers."""
