"""Voxels in patient space: no files, no DICOM."""
