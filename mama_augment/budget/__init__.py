"""The plan: how many captions each clip is worth."""
