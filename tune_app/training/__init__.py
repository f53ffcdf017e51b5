"""One epoch of R replicates, and the trial that trains them. Knows nothing of engines or records."""
