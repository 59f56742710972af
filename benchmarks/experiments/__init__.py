"""Experiments on a real local cluster, each with its own criteria of success."""
