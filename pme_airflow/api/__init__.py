"""The PME API in plain Python: client, documents, answers, errors, validity. Imports nothing of Airflow."""
