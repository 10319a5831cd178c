"""New scans meet a trained model: features as it was trained on, its score, and how far it may be believed."""
