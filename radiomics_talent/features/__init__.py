"""Image and mask to named numbers."""
