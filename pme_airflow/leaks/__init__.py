"""What leaks look like: scanners' reports, and links in disguise. Plain Python."""
