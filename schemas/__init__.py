"""Contracts of the reference application's events and jobs."""
