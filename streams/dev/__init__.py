"""A whole system on one machine: broker, mail sink, worker, demo."""
