"""What Allod decides, as pure functions and values: no clock, file, socket or randomness."""
