"""Embeddings to retrieval metrics."""
