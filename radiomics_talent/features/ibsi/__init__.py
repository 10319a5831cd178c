"""Features as IBSI 1 defines them: one module a family, from a lesion that has been processed as IBSI asks."""
