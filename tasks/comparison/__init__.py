"""Comparing agents: intervals, paired differences, power; what may be said of many trials."""
