"""What the model said: a caption, or why not."""
