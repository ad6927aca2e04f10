"""The scheduler: a deterministic state machine. Events and the time in, effects out; no I/O, no clock."""
