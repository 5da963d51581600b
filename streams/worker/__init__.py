"""One job's journey from its queue to its outcome; start reading at `pipeline`."""
