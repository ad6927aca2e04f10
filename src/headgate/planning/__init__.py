"""From a request to a plan: the graph, what is stale, and in which order. Pure: no I/O, no clock."""
