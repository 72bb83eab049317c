"""The generated world: scenes with known truth, rendered to real H.264."""
