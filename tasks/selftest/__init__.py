"""Agents that attack, as scripts anyone can run on their own machine: `aexp selftest --hostile`."""
