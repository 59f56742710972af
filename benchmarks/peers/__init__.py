"""Clipper beside six other servers: the same models, the same requests, the same machine.

``python -m benchmarks.peers --help``; see `benchmarks.peers.rivals` for who they are.
"""
