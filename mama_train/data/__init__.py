"""Shard rows to batches, in an order that only the seed decides."""
