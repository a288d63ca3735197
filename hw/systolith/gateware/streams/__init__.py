"""Parts between and behind engines: output buffers, queues, forks and gearboxes."""
