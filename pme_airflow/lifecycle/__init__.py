"""The use cases that operators and commands call: mint, publish, sweep, flag, retire. Imports nothing of Airflow."""
