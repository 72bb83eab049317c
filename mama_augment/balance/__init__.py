"""Texts to kept, split and sharded rows."""
