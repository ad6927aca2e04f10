"""The state store: runs, attempts, versions, heads, checkpoints, lineage, journal. Never data, never decisions."""
