"""From PyTorch modules to the contract."""
