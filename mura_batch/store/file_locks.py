"""Whether the file system of OUT has locks: a network mount may have none."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

# With these a file system says that it has no locks: flock(2), and what NFS and CIFS mounts return.
NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL})


def has_locks(folder: Path) -> bool:
    """Whether flock works there; held by another counts. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return False
    finally:
        os.close(descriptor)
    return True
