"""Regions of clips: boxes and vectors of C clips of F frames, for models that see objects."""
