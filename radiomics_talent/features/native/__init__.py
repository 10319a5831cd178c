"""The native engine: PyRadiomics' features from compiled loops, to the same numbers."""
