"""Experiments on batching under a virtual clock: the real queue, lane, dispatcher and policies
against simulated replicas. Deterministic, and many times faster than real time."""
