"""Several configurations times several seeds."""
