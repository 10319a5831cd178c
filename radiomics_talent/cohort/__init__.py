"""The researcher's spreadsheets, and the one bridge from a row to voxels."""
