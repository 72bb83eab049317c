"""The margin loss, the weights, the exact meta step."""
