"""One session of a sweep, from a request to its outcome; and resuming, extending, confirming a run."""
