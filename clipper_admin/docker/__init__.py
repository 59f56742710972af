"""Old place of the Docker container manager."""
