"""Reading radiographs rightly: the only importers of pydicom."""

import logging

# pydicom logs each odd value of a file; what matters becomes a reason code or a flag, and cron stays silent.
logging.getLogger("pydicom").setLevel(logging.CRITICAL)
