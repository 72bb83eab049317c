"""A world of few concepts in many motions, filmed plainly: shards of frames, with the truth."""
