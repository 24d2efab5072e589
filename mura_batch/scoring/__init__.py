"""One run: intake, scoring, aggregation by study, and results."""
