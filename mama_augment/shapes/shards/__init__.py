"""Worlds that are made as training shards: what they share, whatever stands for a clip in them."""
