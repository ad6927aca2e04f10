"""Who drives the scheduler: the live coordinator, with a real store, real workers and a real clock."""
