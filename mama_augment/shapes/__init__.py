"""The shapes world, where everything is known, and the tiny LLaVA that captions it."""
