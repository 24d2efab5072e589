"""Results as DICOM objects: the sink that writes them into a run's folder, and the pictures in them."""
