"""What is known of one job, from its records: what became of it, and why it waits."""
