"""What operators and commands call: minting, publishing, sweeping, flagging. Knows the ledger, nothing of Airflow."""
