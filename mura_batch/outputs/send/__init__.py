"""Sends result objects to an archive and finds out what arrived: the only part that opens a network connection."""
