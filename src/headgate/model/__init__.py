"""Frozen nouns: what the other rooms talk about. Pure: no I/O, no clock, no randomness."""
