"""Kleiṓ, an experiment journal: one word in front of any command, and the run can be found again."""

__version__ = "0.1.0"
