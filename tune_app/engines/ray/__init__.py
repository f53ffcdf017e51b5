"""Trials on Ray Tune: connecting, placing, and what happens to machines. Ray is imported here alone."""
