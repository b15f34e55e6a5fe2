"""The client of the PME API in plain Python: calls, application token, retries, GraphQL documents and rate limits."""
