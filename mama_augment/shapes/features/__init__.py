"""A world of vectors instead of videos: shards to train on in seconds, with the truth in them."""
