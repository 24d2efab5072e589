"""OUT/index.html: all nights of an OUT at a glance."""
