"""Decoding in processes that may crash, hang or run out of memory."""
