"""A whole township on one machine, with real PostgreSQL, Redis, workers and stations: `make demo`."""
