"""An imported network compared with the file's own executor, layer by layer."""
