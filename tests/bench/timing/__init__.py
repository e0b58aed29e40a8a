"""Measures the measuring: isobench and its peers on the same pairs of revisions, whose true ratio is known exactly."""
