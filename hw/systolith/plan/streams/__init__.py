"""Plans of the streams between engines: forks, gearboxes and the graph that joins all stages."""
