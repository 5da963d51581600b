"""Several workers on one machine: started, restarted and ended together, with one web port."""
