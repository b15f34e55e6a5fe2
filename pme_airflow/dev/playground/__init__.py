"""Temporary Airflow homes that use an emulator, for the demo, for `make up` and for tests."""
