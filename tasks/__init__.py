"""Define, run and honestly grade machine-learning tasks for AI agents."""
