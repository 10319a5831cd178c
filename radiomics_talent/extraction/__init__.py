"""Many cases, resumable and in parallel."""
