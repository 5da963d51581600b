"""The loss audit: what became of every accepted job, counted from the topics themselves."""
