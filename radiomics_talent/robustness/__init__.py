"""Which features can be trusted: perturbed versions of each lesion, agreement of measurements, negative controls."""
