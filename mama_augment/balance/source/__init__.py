"""What `balance` reads: directories of earlier steps, pixels, splits that are there already."""
