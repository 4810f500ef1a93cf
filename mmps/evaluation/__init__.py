"""Metrics, and the baselines that give their numbers a scale."""
