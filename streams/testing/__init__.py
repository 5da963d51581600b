"""The ports in memory: a sandbox for applications and a simulator for the engine."""
