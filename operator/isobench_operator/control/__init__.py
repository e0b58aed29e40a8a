"""Carrying decisions out: a queue of keys, a reconciler, a loop. What to do is `core`'s, how it is done is `cluster`'s."""
