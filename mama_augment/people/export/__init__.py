"""What was captioned or balanced, in the formats that others read."""
