"""Combinations of settings that no single reader can refuse."""
