"""Transforms that MONAI lacks, one a file."""
