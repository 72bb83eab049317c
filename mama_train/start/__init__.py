"""What a run starts from: a model that is built, taken over or one's own, adapted and frozen."""
