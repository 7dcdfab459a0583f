"""Honest grading: what the agent left, measured against answers it never saw."""
