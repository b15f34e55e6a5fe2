"""The PME API in plain Python: calls, application token, retries, documents, outcomes and their judge, limiter."""
