"""Vectors of frames and clips, and how well texts agree with them."""
