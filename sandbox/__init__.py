"""A controlled sandbox for a data exchange."""

__version__ = "0.1.0"
