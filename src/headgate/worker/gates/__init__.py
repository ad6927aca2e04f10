"""Gates evaluated: what was staged is looked at before anybody publishes it."""
