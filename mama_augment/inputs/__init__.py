"""VIDEOS (folder, glob, manifest) to a clip list."""
