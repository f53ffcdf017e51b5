"""The tasks that come with tune-app."""
