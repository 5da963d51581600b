"""The ports in memory: a sandbox for applications and a simulator for the engine."""

from __future__ import annotations

from streams.testing.sandbox import Sandbox

__all__ = ["Sandbox"]
