"""Results on paper: CSV tables, the manifest, the audit report."""
