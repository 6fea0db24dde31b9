"""The training engine: one loop for every system, and a run directory that survives anything.

config    what a run is                      loop      the training loop
noise     the random numbers of a step       state     all that a step changes
rundir    config.json, log, pictures, lock   meter     the terms between two log lines
checkpoint  files that survive a kill        progress  the bar, and messages to the user
ema, grid, signals, loadrun                  as named
"""
