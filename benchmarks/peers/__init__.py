"""The same work as others would do it: scripts as the tutorials of each tool have them."""
