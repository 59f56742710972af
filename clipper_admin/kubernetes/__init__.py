"""Old place of the Kubernetes container manager."""
