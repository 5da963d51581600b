"""The reference application: job handlers, one module for each domain."""
