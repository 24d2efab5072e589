"""Runs a model on a device: one package for each backend, and what they share beside them."""
