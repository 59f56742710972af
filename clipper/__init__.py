"""Clipper, a prediction-serving system. Importing this package imports nothing else."""

__version__ = "0.5.0"
