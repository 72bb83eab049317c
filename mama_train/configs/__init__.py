"""Settings that ship with the program: `--config NAME`."""
