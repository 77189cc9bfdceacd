"""Use cases: plain functions and classes over the ports, run in worker threads."""
