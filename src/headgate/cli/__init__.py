"""The command line: one file per command. Renders what the views say and decides nothing."""
