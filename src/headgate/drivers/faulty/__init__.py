"""The faulty driver: a seed draws a project, a load and faults, and the real scheduler has to come through them."""
