"""Instances: one module per family, the chunked writer, bundled real data."""
