"""The training engine: one loop for every system, and a run directory that survives anything.

config    what a run is                       loop        the training loop
noise     the random numbers of a step        state       all that a step changes, as tensors
schedule  when things are due                 checkpoint  files that survive a kill
meter     the terms between two log lines     rundir      settings, log, pictures, lock
gallery   pictures and val_mse                events      TensorBoard
progress  the bar, messages to the user       loadrun     a trained system from its run directory
fast      the switches of --fast              graphs      a step as a CUDA graph
quickconv convolutions on a CPU: winograd, smallconv   memory  --recompute, the estimate of --dry-run
profile   --profile                           ema, grid, signals, files   as named
"""
