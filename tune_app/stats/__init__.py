"""Intervals, tests and units of metrics; imports no other package of tune-app.

Arrays go by letter: R replicates, N images, J patients, K configurations, M pairs of them; axes before those
are repetitions, each judged by itself.
"""
