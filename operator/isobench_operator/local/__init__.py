"""`isobench run`: the same resources, decisions and Jobs as on a cluster, on this machine until every one of them has ended.

What may be run here (`preflight`), what is seen of it (`display`), and the run itself (`session`). No decision about a Commit is made
here.
"""
