"""Grafana's dashboards, made from the names that the metrics have here."""
