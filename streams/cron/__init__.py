"""When schedules are due: patterns, zones, ticks and those that were missed; pure, no I/O."""
