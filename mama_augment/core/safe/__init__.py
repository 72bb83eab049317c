"""The doors through which other people's files come in: addresses, files, and whom to trust."""
