"""What MONAI lacks for learning from quality-assurance codes of CT segmentations."""

__version__ = "0.1.0"
