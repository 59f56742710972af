"""Benchmarks: load generator, reference servers, and the ladder that ``make bench`` prints."""
