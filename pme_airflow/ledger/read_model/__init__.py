"""The read model: what the page, the command ``status`` and the metrics show of a ledger. It only reads."""
