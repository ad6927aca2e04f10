"""Where attempts run. One contract (`executor.py`), one conformance suite, several places."""
