"""Key frames to captions."""
