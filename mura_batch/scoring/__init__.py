"""From folder to scores: grouping and aggregation (pure), the ledger, and the pipeline that joins the parts."""
