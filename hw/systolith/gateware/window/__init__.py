"""The window buffer: its writer, the path of the window, and the reader of each array row."""
