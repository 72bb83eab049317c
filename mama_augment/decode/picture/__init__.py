"""From a decoded frame to the picture that is stored, and to the brightness that is measured."""
