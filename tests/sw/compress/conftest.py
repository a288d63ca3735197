"""One thread: a second one gains nothing on small tensors, and loses all when cores are busy."""

import torch

torch.set_num_threads(1)
