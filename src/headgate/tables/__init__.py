"""Data files: where they lie, how they are staged, audited and verified. Moves no head, knows no store."""
