"""Bytes -> header -> Instance | Skipped."""
