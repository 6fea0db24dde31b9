"""The build of bigan: PEP 517 hooks, the search for PyTorch and tools, and the drive of CMake.

Only the standard library is used, so that every module here can be imported before anything is installed.
"""
