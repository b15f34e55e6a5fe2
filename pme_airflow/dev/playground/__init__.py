"""Throw-away Airflow homes over an emulator: for the demo, for looking around, and for tests that want a live one."""
