"""A step's directory on disk: units, commit records, resume, accounting."""
