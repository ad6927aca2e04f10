"""What an attack looks for."""


class Violation(Exception):
    """Something happened that must never happen."""
