"""Schedules from outside their workers: what is known of them, adding one, running one now."""
