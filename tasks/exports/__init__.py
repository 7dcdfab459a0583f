"""Trials in other people's formats."""
