"""Pages and charts of a run and of a comparison."""
