"""Which judgement of headers this is. Apart, so that asking for it imports no reader."""

HEADERS_VERSION = 2  # raised when the same header is judged otherwise than before: every file is judged again
