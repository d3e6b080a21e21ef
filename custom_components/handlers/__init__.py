"""Ignite handlers that MONAI lacks."""
