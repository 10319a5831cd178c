"""Feature and clinical tables to models of response and survival; voxels are unknown here."""
