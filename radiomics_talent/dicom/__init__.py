"""DICOM files to images and masks."""
