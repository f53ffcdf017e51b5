"""Sweeps that are killed at every kind of moment, resumed, and compared with undisturbed ones.

`sweeps` says what is trained, `processes` starts the command line and finds whom to kill, `watching`
when, `steps` and `forks` kill a sweep without Ray at each of its writes, and `checks` says what must hold.
"""
