"""Fuzzing the package's parsers: inputs made by seeded mutation of samples, and what no parser may do with one."""
