"""Clusters on a Docker engine."""
