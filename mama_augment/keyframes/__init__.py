"""A clip to its Q key frames."""
