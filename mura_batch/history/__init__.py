"""What OUT holds over years: past runs listed, pruned, verified and backed up. One file a verb."""
