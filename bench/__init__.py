"""Benchmarks: Headgate beside a reference that does the same work, measured in the same run."""
