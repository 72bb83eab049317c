"""Frames to what the model sees, and what it is asked."""
