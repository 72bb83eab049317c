"""The tiny LLaVA that truly captions the shapes world."""
