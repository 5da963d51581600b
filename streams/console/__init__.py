"""What is served over HTTP: calls of schedules."""
