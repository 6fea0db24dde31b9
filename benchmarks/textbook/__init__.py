"""Four of the systems as a good student would write them from the papers: eager PyTorch, nothing of bigan.

The baseline of bench_steps.py. Each file has the networks and a `Trainer` whose `step` is the paper's algorithm in
the usual way: a player's loss is a forward of its own, fakes are detached for the critic, `backward` fills
every gradient it can reach, and Adam takes its step.
"""
