"""What a handful of runs can say, and what they cannot.

``intervals`` speaks of one figure, ``patients`` of images drawn again, ``variance_components`` of seeds and
patients at once, ``paired_tests`` and ``multiple_testing`` of configurations side by side, ``power`` of what
it would take, ``outcomes`` of what each test image adds to a metric.

Arrays go by letter: R replicates, N images, J patients, K configurations, M pairs of them; axes before those
are repetitions, each judged by itself.
"""
