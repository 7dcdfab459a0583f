"""How ONE command is contained: a process (bubblewrap and docker follow)."""
