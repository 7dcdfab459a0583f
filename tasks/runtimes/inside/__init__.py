"""What is mounted into a container and runs there, with its Python and nothing of ours."""
