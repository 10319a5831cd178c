"""Results to pages and pictures; never computes a number."""
