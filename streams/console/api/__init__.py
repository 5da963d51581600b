"""The HTTP interface for services."""
