"""A synthetic trial, written as real DICOM."""
