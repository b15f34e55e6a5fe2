"""Reading scanners' reports, and searching files, archives and streams for live tokens. Plain Python."""
