"""What lasts between runs: the ledger, pictures, run folders and the lock. The only importers of sqlite3."""
