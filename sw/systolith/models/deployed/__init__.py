"""Networks that people deploy on small devices, at sizes that simulate in minutes."""
