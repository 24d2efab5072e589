"""Names of files of a run that more than their writers need."""

REPORT_NAME = "report.html"
DRIFT_NAME = "drift.json"
