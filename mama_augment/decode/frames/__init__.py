"""From packets to the frames of a clip, by our own decoding or by decord."""
