"""What a run writes: CSV tables, the manifest and the report."""
