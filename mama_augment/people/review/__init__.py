"""A local page on which a person judges texts; what they say becomes trusted rows."""
