"""What fetch does for each kind of request, a module each; `stages/fetch.py` chooses. Trusted code: it never runs what it fetches."""
