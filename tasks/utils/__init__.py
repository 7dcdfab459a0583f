"""Names the spec fixes; re-exports only."""
