"""What is learned: one task a file, and the registry of them."""
