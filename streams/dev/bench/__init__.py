"""What the engine can do on this machine: one module for each bench, and what they share."""
