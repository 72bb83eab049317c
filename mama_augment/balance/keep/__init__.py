"""Which texts are kept: from counts of concepts to a keep probability for every text."""
