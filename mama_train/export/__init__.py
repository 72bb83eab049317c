"""A checkpoint's model as a folder that others load."""
